# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Processes that run tests side by side, a file of tests in one of them; each computes with one thread, as two would be in each other's way.
TEST_PROCESSES ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

# Each test of a command starts processes that import all of our modules: these are compiled once, not in each of them.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-full lint format types contracts ci clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/installed  ## Install, then run the quickstart recipe through the whole pipeline
	$(BIN)/sft run recipes/quickstart.yaml

test: $(VENV)/installed-test  ## Every test that needs no GPU, long ones in reduced size
	$(PYTEST) -m "not gpu"

test-fast: $(VENV)/installed-test  ## The tests to run before every commit
	$(PYTEST) -m "not gpu and not slow and not e2e and not parity and not postgres"

test-full: $(VENV)/installed-test  ## Every test in full size
	SFT_TEST_FULL=1 $(PYTEST) -m "not gpu"

lint: $(VENV)/installed-dev  ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed-dev  ## Bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/installed-dev  ## Types
	$(BIN)/mypy

contracts: $(VENV)/installed-dev  ## Import contracts
	$(BIN)/lint-imports

clean:  ## Remove the environment and all state
	rm -rf $(VENV) .sft

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes, torch is large)"
	$(PIP) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-test
	$(PIP) -e '.[test,dev]'
	@touch $@
