"""Paths that the embedded engine can use.

It reads a segment by its path (`INSERT … FROM INFILE`), and there some characters mean something
else, with no way to quote them: another directory's file would be read, or none without an error.
"""

from __future__ import annotations

import re
from pathlib import Path

from clew.storage.errors import SettingError

PATTERN = re.compile(r"[*?{}]")
ARCHIVE = re.compile(r"\.(tar|tgz|zip|zipx|7z)\S*\s*::", re.IGNORECASE)  # a name in an archive
# Of the engine's own directory besides: the path of its configuration goes through a query string,
# Poco's paths and XML.
UNCONFIGURABLE = re.compile(r"[&\\\x00-\x1f\x7f]")


def check_segment_directory(directory: Path) -> None:
    """Raises SettingError when the embedded engine cannot read files in the directory."""
    text = str(directory)
    match = PATTERN.search(text) or ARCHIVE.search(text)
    if match:
        raise SettingError(
            f"{text!r}: the engine reads {match[0]!r} in a path as a pattern: choose a directory "
            "without * ? { } or :: in its path (--data or --dsn)"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SettingError(
            f"{text!r}: the engine takes only paths in UTF-8 (--data or --dsn)"
        ) from error


def check_engine_directory(directory: Path) -> None:
    """Raises SettingError when the embedded engine cannot have its tables in the directory."""
    check_segment_directory(directory)
    if match := UNCONFIGURABLE.search(str(directory)):
        raise SettingError(
            f"{str(directory)!r}: the engine's configuration cannot lie in a path with "
            f"{match[0]!r}: choose another directory for the database (--data or --dsn)"
        )
