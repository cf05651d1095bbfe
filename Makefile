# Two commands on a fresh checkout: `make demo` and `make test`. Each does its own set-up, in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# What Python and the tools keep for themselves goes into .venv too.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: help setup demo test test-all lint format bench grafana clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/installed  ## install clew and what its tests need into .venv

# Without --quiet pip says so much that nobody reads it: here it is one line for each package.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "clew needs Python 3.11 or newer: make PYTHON=…")'
	@echo "setting up .venv: the engine is 150 MB to fetch, so the first time takes a minute or two"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r constraints.txt | awk -v all="$$(grep -c == constraints.txt)" \
	    '/^Ignoring/ { n++ } \
	     /^(Collecting|Requirement already)/ { sub(/^Requirement already satisfied:/, "-"); printf "  %2d of %d  %s\n", ++n, all, $$2 } \
	     /^Installing/ { print "  installing them" } { fflush() }'
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## start clew, a small shop under automatic instrumentation and a load; Ctrl-C stops it
	@$(BIN)/python -m clew.cli demo

test: setup lint  ## what must pass on every change (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile --no-loadscope-reorder

test-all: setup lint  ## the longer suites too
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .venv/import-linter

format: setup  ## put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup  ## items per CPU-second, freshness, bytes on disk, and how long answers take
	$(BIN)/python bench/ingest.py
	$(BIN)/python bench/receiver.py
	$(BIN)/python bench/sustained.py
	$(BIN)/python bench/disk.py
	$(BIN)/python bench/reads.py

grafana: setup  ## give a Grafana that is installed or runs the dashboards (docs/grafana.md); fetches nothing
	@$(BIN)/python dashboards/provision.py

clean:  ## remove what the commands above made
	rm -rf .venv data
