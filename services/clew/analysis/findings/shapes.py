"""Statements and URLs without what differs between their calls."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

_LITERAL = re.compile(r"'(?:[^']|'')*'|\b0x[0-9a-f]+\b|(?<![\w.])[+-]?\d+(?:\.\d+)?\b", re.I)
_PARAMETER = re.compile(r"%\(\w+\)s|%s|\$\d+|(?<![:\w]):\w+|\?")
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_SPACE = re.compile(r"\s+")
_ID = re.compile(
    r"^(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{8,}|(?=.*\d)[\w.~-]*\d[\w.~-]*)$", re.I
)
_VERSION = re.compile(r"^v\d+$")
_READ = re.compile(
    r"^\s*(?:/\*.*?\*/\s*)*(?:select|show|describe|explain|get|mget|hget\w*)\b", re.I
)
MAX_SHAPE = 300


@lru_cache(4096)
def statement_shape(text: str) -> str:
    """The statement with `?` for each literal and parameter, and one for a list of them."""
    shape = _LITERAL.sub("?", _PARAMETER.sub("?", text))
    return _SPACE.sub(" ", _LIST.sub("(?)", shape)).strip()[:MAX_SHAPE]


def has_parameters(text: str) -> bool:
    """Whether values of the statement are not in its text, so that equal texts say nothing."""
    return _PARAMETER.search(text) is not None


def reads_only(text: str) -> bool:
    """Whether a statement, or the name of an operation, only reads."""
    return _READ.match(text) is not None


@lru_cache(4096)
def url_shape(url: str, service: str = "") -> str:
    """Service, or else host, and path of a URL, with `{}` for ids, without its query."""
    parts = _split(url)
    segments = ["{}" if is_id(segment) else segment for segment in parts[1].split("/")]
    return ((service or parts[0]) + "/".join(segments))[:MAX_SHAPE]


def ids_of(url: str) -> set[str]:
    """The ids in the path and the query of a URL."""
    _, path, query = _split(url)
    return {
        text
        for text in (*path.split("/"), *(value for _, value in parse_qsl(query)))
        if is_id(text)
    }


def is_id(segment: str) -> bool:
    """Whether a part of a path names one of many: it has a digit, as v2 alone has not."""
    return _ID.match(segment) is not None and _VERSION.match(segment) is None


def _split(url: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", url, ""
    return parts.netloc.rpartition("@")[2], parts.path, parts.query
