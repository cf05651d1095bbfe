#!/usr/bin/env bash
# Runs the tests that depend on the checkout's path in two copies of it: in a folder that is called
# clew, the name that `git clone` gives, and in one with a space in its name.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

for name in "clew" "a clone"; do
    copy="$top/$name"
    mkdir "$copy"
    tar -c --exclude=./.venv --exclude=node_modules --exclude=./.git --exclude=./data . | tar -x -C "$copy"
    echo "== $copy"
    cd "$copy"
    make setup > "$top/setup.log" || { cat "$top/setup.log"; exit 1; }
    .venv/bin/clew --help > /dev/null
    PYTHONPYCACHEPREFIX="$copy/.venv/pycache" .venv/bin/python -m pytest -q -m 'not slow' -n 2 \
        --dist loadfile tests/integration/test_agent.py tests/packaging tests/e2e/test_odd_paths.py \
        tests/e2e/test_demo.py
    cd "$checkout"
    rm -rf "$copy"
done
