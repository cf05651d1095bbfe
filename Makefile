# On a fresh checkout: `make demo` and `make test`. Each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Caches of Python and of the tools go into .venv too. Without Python's, every process compiles what it
# imports: the start of clew takes 1.4 s of CPU more.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache
unexport PYTHONDONTWRITEBYTECODE

# A third of the time tests wait for processes, disks and clocks: three at once keep 2 cores busy.
WORKERS ?= 3

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

# The web UI: a Node.js project, built into the Python package that serves it.
UI := services/ui
PAGE := services/clew/web/static/index.html
HAS_NODE := node -e 'const [a, b] = process.versions.node.split("."); process.exit(+a > 20 || (+a === 20 && +b >= 19) ? 0 : 1)' 2> /dev/null

.PHONY: help setup demo ui ui-types ui-check ui-dev browser test test-cases test-all test-browser test-elsewhere lint format bench grafana clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/installed  ## install clew and what its tests need into .venv

# pip's output is reduced to one line for each package.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "clew needs Python 3.11 or newer: make PYTHON=…")'
	@echo "setting up .venv: the engine is a download of 150 MB, so the first time takes a minute or two"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r constraints.txt | awk -v all="$$(grep -c == constraints.txt)" \
	    '/^Ignoring/ { n++ } \
	     /^(Collecting|Requirement already)/ { sub(/^Requirement already satisfied:/, "-"); printf "  %2d of %d  %s\n", ++n, all, $$2 } \
	     /^Installing/ { print "  installing them" } { fflush() }'
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

ui:  ## build the web UI, if something changed; without Node.js 20.19 or newer everything else works
	@if $(HAS_NODE); then $(MAKE) --no-print-directory $(PAGE); \
	    else echo "the web UI is not built: it needs Node.js 20.19 or newer"; fi

$(PAGE): $(UI)/node_modules/.package-lock.json $(shell find $(UI) -name node_modules -prune -o -type f -print)
	@cd $(UI) && npm run --silent build -- --logLevel warn

$(UI)/node_modules/.package-lock.json: $(UI)/package.json $(UI)/package-lock.json
	@echo "installing what the web UI is built with"
	@cd $(UI) && npm ci --silent
	@touch $@

ui-types: setup $(UI)/node_modules/.package-lock.json  ## write the types of the API for the web UI
	@$(BIN)/python docs/write_api.py --openapi > $(UI)/openapi.json
	@cd $(UI) && npx openapi-typescript openapi.json -o src/api/schema.d.ts > /dev/null

ui-check: ui-types  ## check the web UI's types against the API, and run its unit tests
	cd $(UI) && npm run --silent check && npm run --silent test

ui-dev: ui-types  ## serve the web UI with live reload, over the API at 127.0.0.1:4319 (CLEW_API)
	cd $(UI) && npm run dev

demo: setup ui  ## start clew, an instrumented demo shop and a load on it; Ctrl-C stops all of it
	@$(BIN)/python -m clew.cli demo

# The browser's tests run by themselves: Playwright keeps an event loop running in its process.
test: setup ui browser lint  ## what must pass on every change (under 8 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'not slow' --ignore tests/browser -n $(WORKERS) --dist loadfile --no-loadscope-reorder --suite-times
	$(BIN)/python -m pytest -m 'not slow' tests/browser

test-cases: setup  ## further cases of what `make test` samples; .ci/run runs them
	$(BIN)/python -m pytest -m 'sampled and slow' --ignore tests/browser -n $(WORKERS) --dist loadfile --suite-times

test-all: setup ui browser lint  ## the longer suites too
	$(BIN)/python -m pytest --ignore tests/browser
	$(BIN)/python -m pytest tests/browser

test-browser: setup ui  ## the tests of the web UI in a browser; needs Debian's package chromium and Node.js
	@tests/browser/chromium.sh
	@$(MAKE) --no-print-directory $(BIN)/playwright
	CLEW_BROWSER=required $(BIN)/python -m pytest tests/browser -n 2 --dist loadfile --suite-times

# What the tests in a browser need, where it is there or can be installed. Without it they are skipped.
browser: setup
	@! tests/browser/chromium.sh || $(MAKE) --no-print-directory $(BIN)/playwright

$(BIN)/playwright: tests/browser/requirements.txt
	@$(PIP) install --quiet --require-hashes --no-deps -r $<
	@touch $@

test-elsewhere:  ## the tests that depend on the checkout's path, from copies at two other paths
	tests/elsewhere.sh

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .venv/import-linter

format: setup  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup  ## measure items per CPU-second, freshness, bytes on disk, and the time of answers
	$(BIN)/python bench/ingest.py
	$(BIN)/python bench/receiver.py
	$(BIN)/python bench/redaction.py
	$(BIN)/python bench/sustained.py
	$(BIN)/python bench/disk.py
	$(BIN)/python bench/reads.py
	$(BIN)/python bench/outlines.py
	$(BIN)/python -m bench.watch --made 0:2 --cpu 1000
	$(BIN)/python bench/quiet.py

grafana: setup  ## add the dashboards to an installed or running Grafana (docs/grafana.md); downloads nothing
	@$(BIN)/python dashboards/provision.py

clean:  ## remove .venv and data
	rm -rf .venv data
