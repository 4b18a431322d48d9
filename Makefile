# Cistern: make run | make test. Everything lives in .venv and build/; `make clean` removes both.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup run test lint clean lock

help:
	@echo "make run    the main job: receiver + simulated board, live (Ctrl-C stops; the next run continues)"
	@echo "make test   all tests"
	@echo "make setup  only create $(VENV) with the cistern command"

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Cistern needs Python 3.11 or later; set PYTHON=/path/to/python3")'
	@echo "cistern: installing the pinned host tools into $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[test]'
	@touch $@

run: setup
	@$(BIN)/cistern run

lint: setup
	$(BIN)/ruff check .

test: setup lint
	$(BIN)/python -m pytest

lock:
	$(BIN)/pip freeze --exclude-editable | grep -v '^-' > requirements.lock

clean:
	rm -rf $(VENV) build
