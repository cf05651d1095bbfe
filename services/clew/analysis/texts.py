"""Places in code, processes and sizes, written to be read."""

from __future__ import annotations

import re

SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
FRAME = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)')
UUID = re.compile(r"(?P<first>[0-9a-f]{8})-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.I)


def code_place(function: str, file: str, line: str) -> str:
    """`function (file:line)`, or what is known of it; empty if nothing is."""
    where = f"{file}:{line}" if file and line else file
    if function and where:
        return f"{function} ({where})"
    return function or where


def frame_place(frame: str) -> str:
    """A frame of a stack trace: of Python's as other places in code; others, which have file and
    line in one, without the `at` before them."""
    if match := FRAME.fullmatch(frame.strip()):
        return code_place(match["function"], match["file"], match["line"])
    return frame.strip().removeprefix("at ")


def instance_text(instance: str) -> str:
    """The id of a process; of a UUID the first eight letters."""
    match = UUID.fullmatch(instance)
    return match["first"] if match else instance


def size_text(size: float) -> str:
    """A number of bytes: `512 MiB`."""
    power = 0
    while abs(size) >= 1023.5 and power < len(SIZES) - 1:
        size /= 1024
        power += 1
    return f"{number_text(size)} {SIZES[power]}"


def number_text(value: float) -> str:
    """Three digits that count, and all before the point: `0.12`, `98.7`, `12345`."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
