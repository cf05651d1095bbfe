"""What the tests of a run cost: `--suite-times` prints wall and CPU seconds by suite.

CPU seconds are those of the process that ran a test and of the processes that ended during it: they
depend less than wall time on what else the machine does. A process that several tests share counts
for the test that ends it.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import PurePath

import pytest

BUDGET = 8 * 60  # seconds that `make test` may take on 2 cores, lint included
LARGEST = 15  # files printed by name


@dataclass
class Cost:
    tests: int = 0
    wall: float = 0
    cpu: float = 0

    def add(self, other: Cost) -> None:
        self.tests += other.tests
        self.wall += other.wall
        self.cpu += other.cpu

    def row(self, name: str) -> str:
        return f"| {name} | {self.tests:,} | {self.wall:.0f} | {self.cpu:.0f} |"


def cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--suite-times", action="store_true", help="print what each suite costs")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--suite-times"):
        config.pluginmanager.register(SuiteTimes(), "suite-times")


class SuiteTimes:
    """The CPU seconds of a phase travel in its report, from the process that runs the test to the
    one that prints."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.cpu = cpu_seconds()
        self.files: defaultdict[str, Cost] = defaultdict(Cost)

    def pytest_collection_finish(self) -> None:
        self.cpu = cpu_seconds()  # collecting is no test's cost

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        used = cpu_seconds()
        report.cpu, self.cpu = used - self.cpu, used
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cost = Cost(report.when == "setup", report.duration, getattr(report, "cpu", 0))
        self.files[report.nodeid.partition("::")[0]].add(cost)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        suites: defaultdict[str, Cost] = defaultdict(Cost)
        total = Cost()
        for file, cost in self.files.items():
            suites[str(PurePath(file).parent)].add(cost)
            total.add(cost)
        largest = sorted(self.files.items(), key=lambda item: item[1].cpu, reverse=True)[:LARGEST]
        write = terminalreporter.write_line
        terminalreporter.section("seconds by suite")
        write("| suite | tests | wall | CPU |\n|-|-:|-:|-:|")
        for name, cost in [*sorted(suites.items()), ("all", total)]:
            write(cost.row(name))
        write("\n| largest files | tests | wall | CPU |\n|-|-:|-:|-:|")
        for name, cost in largest:
            write(cost.row(name))
        took = time.monotonic() - self.began
        write(f"\nthis run: {took:.0f} s; `make test`, lint included, may take {BUDGET} s")
