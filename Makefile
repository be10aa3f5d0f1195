# One-word tasks. `make` alone lists them. They need Python 3.11 or newer, make and a network for the first install.
# Everything is installed into .venv; name another interpreter with `make forecast PYTHON=python3.13`.
.POSIX:
.NOTPARALLEL:

PYTHON ?= python3
BIN = .venv/bin
# A failed install leaves no stamp, because the stamp is written by the install itself and looked for afterwards.
# pip's output is cut down to our own dependencies, larger downloads and errors.
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check
PIP_LINES = sed -n -e 's/^Collecting \(.*\) (from aitimelines.*/  \1/p' \
  -e 's/^ *Downloading \(.* MB)\)$$/    \1/p' -e 's/^Installing collected packages.*/  unpacking .../p'

.PHONY: help forecast test test-slow lint format types docs notebooks bench clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

forecast: .venv/.run-installed ## set up .venv on first use, then run the baseline scenario
	$(BIN)/aitimelines run baseline

test: lint types ## lint, formatting, types and the fast tests: what continuous integration runs
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: .venv/.dev-installed ## every test, those of minutes included
	$(BIN)/python -m pytest -q

lint: .venv/.dev-installed ## ruff: rules, then formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.dev-installed ## let ruff mend what it can and reformat
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

types: .venv/.dev-installed ## mypy over the three packages
	$(BIN)/mypy

docs: notebooks ## execute the notebooks and write the pages of docs/ that commands produce
	@for source in $$(grep -l '^def main' docs/*.py); do \
	  echo "$$source"; $(BIN)/python "$$source" || exit 1; \
	done

notebooks: .venv/.dev-installed ## execute notebooks/*.py into build/notebooks/*.ipynb
	@mkdir -p build/notebooks
	@for source in notebooks/*.py; do \
	  [ -e "$$source" ] || continue; \
	  page=build/notebooks/$$(basename "$$source" .py).ipynb; \
	  echo "$$source -> $$page"; \
	  $(BIN)/jupytext --quiet --to ipynb --output "$$page" "$$source" && \
	  $(BIN)/jupyter-nbconvert --log-level WARN --to notebook --execute --inplace "$$page" || exit 1; \
	done

bench: .venv/.dev-installed ## run benchmarks/*.py one after the other
	@for source in $$(grep -l '^def main' benchmarks/*.py); do \
	  echo "$$source"; $(BIN)/python -m benchmarks.$$(basename "$$source" .py) || exit 1; \
	done

clean: ## remove .venv and everything built; results in runs/ stay
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "aitimelines needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another interpreter, for instance: make forecast PYTHON=python3.12" >&2; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.run-installed: pyproject.toml .venv/.created
	@echo "Installing aitimelines into .venv (the first time takes a minute or more)"
	@rm -f $@; { $(PIP_INSTALL) -e . && touch $@; } | $(PIP_LINES); test -f $@

# The development install holds the run install, so it writes both stamps.
.venv/.dev-installed: pyproject.toml .venv/.created
	@echo "Installing aitimelines and its development tools into .venv (the first time takes a minute or more)"
	@rm -f $@; { $(PIP_INSTALL) -e '.[dev]' && touch .venv/.run-installed $@; } | $(PIP_LINES); test -f $@
