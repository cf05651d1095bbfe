"""What a definition of a business transaction says: which spans it matches, how their
occurrences are told apart, what they are worth, and the steps they go through."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """What a span has to be, in all that is not None; `attributes` are (key, value) pairs of its
    own or its resource's."""

    service: str | None = None
    operation: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """Where a key, a value or a user is found: in an attribute; with a pattern, what stands in the
    place of `{}` in the attribute's text."""

    attribute: str
    pattern: str | None = None

    @property
    def expression(self) -> str:
        """The pattern as a regular expression with one group; without one, the whole text."""
        if self.pattern is None:
            return r"^([\s\S]*)$"
        before, _, after = self.pattern.partition("{}")
        return f"{re.escape(before)}([^/?#]+){re.escape(after)}"


@dataclass(frozen=True)
class Step:
    """`match.service` None: an operation of the service of the entry."""

    name: str
    match: Match


@dataclass(frozen=True)
class Slo:
    """The share (`objective`, above 0 and below 1) of occurrences that should be good: without an
    error and, where there is a `latency_ms`, at most so long."""

    objective: float
    latency_ms: float | None = None


@dataclass(frozen=True)
class Definition:
    """A business transaction. Sources are tried in order, the first that is found counts; without
    a key, every trace is an occurrence of its own."""

    id: str
    name: str
    match: Match
    key: tuple[Source, ...] = ()
    value: tuple[Source, ...] = ()
    user: tuple[Source, ...] = ()
    steps: tuple[Step, ...] = ()
    slo: Slo | None = None
