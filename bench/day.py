"""What happens in the data set's day: which traces, when. The bytes are bench/rendering.py's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from shapes import OPERATIONS, PRODUCER, SERVICES, SHAPES, WORSE

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SECOND = 10**9
TENANTS, USERS, SKUS = 20, 20_000, 100_000
SLOW_TENANT, SLOW_FROM, SLOW_UNTIL = 1, 20 / 24, 21 / 24  # of the day
NEW_VERSION_FROM = 0.5  # of the day
LARGE, LARGE_AT = 100_000, 0.92  # spans; where in the day
LARGE_TRACE = "c1e3" + "0" * 24 + "100c"
RETRIED = 0.5  # of the declined checkouts, with the same order

NAMES = list(SHAPES)
NUMBER = {name: number for number, name in enumerate(NAMES)}
INSTANCES = np.array([3 if number < 5 else 2 for number in range(len(SERVICES))])
PRODUCERS = {
    name: next(number for number, span in enumerate(shape.spans) if span.call.kind == PRODUCER)
    for name, shape in SHAPES.items()
    if any(span.call.kind == PRODUCER for span in shape.spans)
}


@dataclass
class Traces:
    """The traces of a stretch of time, a row each."""

    time: Ints  # of the root's start, in nanoseconds since the day's
    shape: Ints
    tenant: Ints
    user: Ints
    sku: Ints
    order: Ints
    total: Floats
    pace: Floats  # what the shape's times are multiplied by
    instance: Ints  # of each service, in columns
    id: Bytes
    link: Bytes  # of the producer: 16 bytes of its trace, 8 of the span

    def take(self, which: Flags | Ints) -> Traces:
        return Traces(*(getattr(self, each.name)[which] for each in fields(self)))

    @staticmethod
    def of(parts: Iterable[Traces]) -> Traces:
        every = list(parts)
        return Traces(
            *(
                np.concatenate([getattr(part, each.name) for part in every])
                for each in fields(Traces)
            )
        )

    def __len__(self) -> int:
        return len(self.time)


class Day:
    """A day of telemetry. Times inside are nanoseconds from its start."""

    def __init__(self, spans: int, hours: float, seed: int, end: int) -> None:
        self.spans, self.hours, self.seed = spans, hours, seed
        self.length = int(hours * 3600 * SECOND)
        self.start = end - self.length
        self.large = min(LARGE, spans // 4)
        self.drawn = int((spans - self.large) / _spans_of_an_entry())
        self.stretches = max(1, min(self.drawn // 200, 250), self.drawn // 4096)

    def plan(self) -> Iterator[tuple[Traces, Ints]]:
        """The traces of one stretch after the other, by time; and the stretch's start and end."""
        waiting: list[Traces] = []
        for number in range(self.stretches):
            chance = np.random.default_rng((self.seed, number))
            bounds = self._moment(np.array([number, number + 1]) / self.stretches)
            drawn = self._draw(chance, number)
            known = Traces.of([*waiting, drawn, *self._followers(chance, drawn)])
            due = known.time < bounds[1]
            waiting = [known.take(~due)]
            now = known.take(due)
            yield now.take(np.argsort(now.time, kind="stable")), bounds

    def ticks(self, points: int) -> Ints:
        """When metrics are exported, so many points at each tick."""
        count = max(1, round(self.spans / 4 / points))
        return ((np.arange(count) + 0.5) / count * self.length).astype(np.int64)

    def _moment(self, share: Floats) -> Ints:
        """When that share of the day's traffic has been: it comes and goes by a third."""
        grid = np.linspace(0, 1, 2881)
        done = grid + (1 - np.cos(2 * np.pi * grid)) / (6 * np.pi)
        return (np.interp(share, done, grid) * self.length).astype(np.int64)

    def _draw(self, chance: np.random.Generator, number: int) -> Traces:
        before, after = (self.drawn * each // self.stretches for each in (number, number + 1))
        count = after - before
        when = self._moment((number + chance.random(count)) / self.stretches)
        entries = [NUMBER[name] for name in OPERATIONS]
        weights = np.array([weight for weight, _, _ in OPERATIONS.values()])
        which = chance.choice(len(entries), count, p=weights / weights.sum())
        tenant = chance.choice(TENANTS, count, p=zipf(TENANTS))
        shape = np.array(entries)[which]
        otherwise = np.array([NUMBER[name] for _, name, _ in OPERATIONS.values()])[which]
        rate = np.array([share for _, _, share in OPERATIONS.values()])[which]
        worse = (shape == NUMBER["orders"]) & self.is_new(when)
        shape = np.where(chance.random(count) < rate * np.where(worse, WORSE, 1), otherwise, shape)
        slow = (shape == NUMBER["cart"]) & (tenant == SLOW_TENANT) & self.in_slow_hour(when)
        shape = np.where(slow, NUMBER["cart slow"], shape)
        # A number that has no common factor with 10^10 scatters the orders and repeats none.
        order = (before + np.arange(count)) * 3_628_273_133 % 10**10
        total = np.round(chance.lognormal(4, 0.8, count), 2)
        return Traces(
            when, shape, tenant, chance.integers(0, USERS, count), chance.integers(0, SKUS, count),
            order, total, *_of_its_own(chance, count), np.zeros((count, 24), np.uint8),
        )  # fmt: skip

    def _followers(self, chance: np.random.Generator, drawn: Traces) -> Iterator[Traces]:
        """The traces that come of checkouts, with the same order, some of them an hour later."""

        def after(traces: Traces, name: str, least: float, most: float, link: str = "") -> Traces:
            count = len(traces)
            seconds = chance.uniform(least, most, count)
            pace, instance, identity = _of_its_own(chance, count)
            links = np.zeros((count, 24), np.uint8)
            if link:
                links = np.hstack([traces.id, span_ids(traces.id, [PRODUCERS[link]])[:, 0]])
            return Traces(
                traces.time + (seconds * SECOND).astype(np.int64), np.full(count, NUMBER[name]),
                traces.tenant, traces.user, traces.sku, traces.order, traces.total,
                pace, instance, identity, links,
            )  # fmt: skip

        hour = 3600 * self.hours / 24
        declined = drawn.take(drawn.shape == NUMBER["checkout declined"])
        again = declined.take(chance.random(len(declined)) < RETRIED)
        retries = after(again, "checkout", 0.006 * hour, 0.02 * hour)
        yield retries
        paid = Traces.of([drawn.take(drawn.shape == NUMBER["checkout"]), retries])
        yield after(paid, "webhook", 0.0003 * hour, 0.01 * hour)
        fulfilled = after(paid, "fulfil", 0.016 * hour, hour, link="checkout")
        yield fulfilled
        yield after(fulfilled, "notify", 0.001 * hour, 0.02 * hour, link="fulfil")

    def is_new(self, when: Ints) -> Flags:
        return when >= int(NEW_VERSION_FROM * self.length)

    def in_slow_hour(self, when: Ints) -> Flags:
        return (when >= int(SLOW_FROM * self.length)) & (when < int(SLOW_UNTIL * self.length))


def _of_its_own(chance: np.random.Generator, count: int) -> tuple[Floats, Ints, Bytes]:
    """A trace's pace, the instance of each service that it meets, and its id."""
    pace = chance.lognormal(0, 0.35, count)
    instance = (chance.random((count, len(SERVICES))) * INSTANCES).astype(np.int64)
    identity = np.frombuffer(chance.bytes(16 * count), np.uint8).reshape(count, 16)
    return pace, instance, identity


def _spans_of_an_entry() -> float:
    """How many spans come of one drawn trace on average, those of its followers with it."""

    def size(name: str) -> int:
        return len(SHAPES[name].spans)

    total = 0.0
    for name, (weight, otherwise, share) in OPERATIONS.items():
        total += weight * ((1 - share) * size(name) + share * size(otherwise))
    weight, _, declined = OPERATIONS["checkout"]
    retried = declined * RETRIED
    paid = 1 - declined + retried
    followers = size("webhook") + size("fulfil") + size("notify")
    total += weight * (retried * size("checkout") + paid * followers)
    return total / sum(weight for weight, _, _ in OPERATIONS.values())


def zipf(count: int) -> Floats:
    weights = 1 / np.arange(1, count + 1)
    return np.asarray(weights / weights.sum())


def span_ids(traces: Bytes, places: Sequence[int]) -> Bytes:
    """The ids of the spans at these places in their shapes, (traces, places, 8): of each trace's
    own random ones, so that they need not be kept."""
    low = np.ascontiguousarray(traces[:, 8:]).view("<u8")
    mixed = (low + (np.array(places, "<u8") + 1) * 0x9E3779B97F4A7C15) * 0xD6E8FEB86659FD93
    return np.asarray(mixed.view(np.uint8).reshape(len(traces), len(places), 8))
