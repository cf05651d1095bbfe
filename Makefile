# Two commands on a fresh checkout: `make demo` and `make test`. Each does its own set-up, in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test test-all lint format bench clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/installed  ## install clew and what its tests need into .venv

.venv/installed: pyproject.toml constraints.txt
	@echo "setting up .venv (the first time this takes a minute or two: the engine is 150 MB to fetch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
	@echo "installing dependencies (pinned, with hashes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## start clew, a small shop under automatic instrumentation and a load; Ctrl-C stops it
	@$(BIN)/python -m clew.cli demo

test: setup lint  ## what must pass on every change (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'not slow'

test-all: setup lint  ## the longer suites too
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup  ## spans per CPU-second, end to end
	$(BIN)/python bench/ingest.py

clean:  ## remove what the commands above made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache data
