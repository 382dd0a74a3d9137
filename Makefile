# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Tests run in this many processes, each file of tests in one of them: one more than two cores, because whole runs wait for
# servers and for each other. Each computes with one thread: more would only compete for the cores.
TEST_PROCESSES ?= 3
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile
UNITS := not slow and not e2e and not parity and not postgres

# Many tests start processes that import all of our modules, which are compiled once and not in each of the processes.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-all test-full lint format types contracts ci clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/installed  ## Install, then run the quickstart recipe through the whole pipeline
	$(BIN)/sft run recipes/quickstart.yaml

test: $(VENV)/installed-test  ## All unit tests, one whole run, and a sample of the comparisons with TRL
	$(PYTEST) -m "not gpu and (($(UNITS)) or sample)"

test-fast: $(VENV)/installed-test  ## The unit tests alone
	$(PYTEST) -m "not gpu and $(UNITS)"

test-all: $(VENV)/installed-test  ## What CI runs: every test that needs no GPU, large ones in reduced size
	$(PYTEST) -m "not gpu"

test-full: $(VENV)/installed-test  ## Every test that needs no GPU, in full size
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

# One call of pip installs what the first command needs: the product, the tests as well, or all of it with the tools.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes, torch is large)"
	$(PIP) -e .
	@touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes, torch is large)"
	$(PIP) -e '.[test]'
	@touch $(VENV)/installed $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes, torch is large)"
	$(PIP) -e '.[test,dev]'
	@touch $(VENV)/installed $(VENV)/installed-test $@
