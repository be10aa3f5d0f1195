"""Write docs/reproduction.md: every published number, and what the packaged data give.

Run as ``python docs/reproduction.py``: minutes the first time, since the studies whose posterior
stands beside a number are fitted; less once the fits are in the cache. The words are in
reproduction.template.md, the numbers are put in here.
"""

from pathlib import Path
from typing import Any

from aitimelines.forecast import reproduce
from aitimelines.forecast.cli_reproduce import cells, verdict_counts
from aitimelines.forecast.compiled import keep_compiled_programs
from aitimelines.forecast.progress import shown

PAGE = Path(__file__).with_suffix(".md")
TEMPLATE = Path(__file__).with_suffix(".template.md")
READ = {
    "primary": "",
    "secondary": " (as quoted by others)",
    "derived": " (derived from its numbers)",
}


def in_cell(text: str) -> str:
    """Return text that does not end a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def topic_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of a topic, and under it the notes."""
    lines = [
        "| what | published | computed | posterior | unit | verdict |",
        "|---|---:|---:|---:|---|---|",
    ]
    notes = []
    for row in rows:
        told = {name: in_cell(text) for name, text in cells(row).items()}
        read_from = READ[reproduce.published()[row["id"]].read_from]
        what = f"{told['quantity']}; {told['source']}{read_from}; `{row['id']}`"
        numbers = (told["published"], told["computed"], told["posterior"])
        lines.append(f"| {' | '.join((what, *numbers, told['unit'], told['verdict']))} |")
        if row["note"]:
            notes.append(f"- {row['quantity']} ({row['verdict']}): {' '.join(row['note'].split())}")
    return "\n".join([*lines, "", *notes]).rstrip()


def topics(table: Any) -> str:
    """Return a section for every topic."""
    parts = []
    for topic, ids in reproduce.by_topic().items():
        rows = table[table["id"].isin(ids)].to_dict("records")
        if rows:
            parts.append(f"### {topic.capitalize()}\n\n{topic_table(rows)}")
    return "\n\n".join(parts)


def slip_list() -> str:
    """Return the errors found in published work, one line each."""
    entries = reproduce.published()
    return "\n".join(
        f"- {entries[name].source}: {' '.join(slip.split())} (`{name}`)"
        for name, slip in reproduce.slips().items()
    )


def main() -> None:
    """Compute all, and write the page."""
    keep_compiled_programs()
    with shown() as report:
        table = reproduce.reproduce(report=report)
    counts = verdict_counts(table)
    values = {
        "total": str(len(table)),
        "reproduced": str(counts["reproduced"]),
        "inside": str(counts["inside interval"]),
        "differs": str(counts["differs"]),
        "topics": topics(table),
        "slips": slip_list() or "None.",
    }
    text = TEMPLATE.read_text(encoding="utf-8").format(**values)
    temporary = PAGE.with_suffix(".md.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(PAGE)


if __name__ == "__main__":
    main()
