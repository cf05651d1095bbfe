"""What the suites share: each module says what it is for; tests/README.md lists them."""
