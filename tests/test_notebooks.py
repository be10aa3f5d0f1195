"""Every notebook runs from top to bottom."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbconvert.preprocessors import ExecutePreprocessor

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # of the notebook machinery, not of ours
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = jupytext.read(path)
    processor = ExecutePreprocessor(timeout=300, kernel_name="python3")
    processor.preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    outputs = [cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"]
    assert any(outputs)
    nbformat.validate(notebook)
