"""The power goes while the spool is written to. What was acknowledged is there afterwards.

A model of a disk stands in: it lets the spool work on a real directory, and knows of every moment
what a power cut would leave of it. That is of a file its content at its last sync, any of the
pages written since, or not, and its length then, now or between; of a directory its entries at its
last sync, or at any moment since. A sync that failed has lost what it should have written: the
pages are clean now and another sync does not write them.

Beside the spool a loader works, and a database that is on the disk when it says so. Ledger of a
power cut: every acknowledged batch is in the database or in the spool, once; a segment of which
the database knows something is found as ambiguous, and is what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clew.collector import spool as spool_module
from clew.collector.limits import Overloaded
from clew.collector.otlp import Batch
from clew.collector.spool import Segment, Spool

PAGE = 64  # bytes; small, so that small batches are torn in many ways
Image = dict[str, dict[str, bytes]]  # of each directory the files that a power cut leaves


class Disk:
    """What of `root` is on the disk. `failing` is the share of syncs and writes that fail."""

    CALLS = (
        "open",
        "write",
        "writev",
        "ftruncate",
        "fsync",
        "fdatasync",
        "rename",
        "unlink",
        "mkdir",
    )

    def __init__(self, root: Path, chance: random.Random, failing: float = 0.0) -> None:
        self.lock = threading.RLock()
        self.calls = 0
        self.at_call: dict[int, Callable[[], None]] = {}
        self._root = root
        self._chance = chance
        self._failing = failing
        self._real: dict[str, Any] = {name: getattr(os, name) for name in self.CALLS}
        self._files: dict[int, int] = {}  # an inode, and a descriptor to read it by
        self._synced: dict[int, bytes] = {}
        self._lost: dict[int, bytes] = {}  # what stood there when a sync of it failed
        self._entries: dict[Path, list[dict[str, int]]] = {}
        self._look()
        for directory in self._entries:
            self._entries[directory] = self._entries[directory][-1:]
        self._synced = {inode: self._read(inode) for inode in self._files}

    @contextlib.contextmanager
    def watched(self) -> Iterator[Disk]:
        """Everything that is done through `os` meanwhile goes by this disk."""
        with pytest.MonkeyPatch.context() as patch:
            for name in self.CALLS:
                patch.setattr(os, name, self._call(name))
            yield self
        for descriptor in self._files.values():
            os.close(descriptor)

    def cut(self) -> Image:
        """What is there when the power comes back, if it goes now."""
        kept: Image = {}
        reached = [self._root]
        for directory in reached:
            entries = self._chance.choice(self._entries[directory])
            reached += [directory / name for name in entries if directory / name in self._entries]
            kept[str(directory.relative_to(self._root))] = {
                name: self._torn(self._synced.get(inode, b""), self._read(inode))
                for name, inode in entries.items()
                if inode in self._files
            }
        return kept

    def _call(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self.lock:
                self.calls += 1
                self.at_call.pop(self.calls, lambda: None)()
                if name in ("fsync", "fdatasync"):
                    return self._sync(*arguments)
                if name in ("write", "writev") and self._chance.random() < self._failing:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                answer = self._real[name](*arguments, **named)
                self._look()
                return answer

        return call

    def _sync(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self._look()
        if self._chance.random() < self._failing:
            if stat.S_ISREG(status.st_mode):
                self._lost[status.st_ino] = self._read(status.st_ino)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if stat.S_ISDIR(status.st_mode):
            for directory, history in self._entries.items():
                if directory.stat().st_ino == status.st_ino:
                    del history[:-1]
        elif status.st_ino in self._files:
            self._synced[status.st_ino] = self._written(status.st_ino)

    def _written(self, inode: int) -> bytes:
        """What a sync puts on the disk: not the pages that a failed one has lost."""
        now, before = self._read(inode), self._synced.get(inode, b"")
        lost = self._lost.get(inode)
        if lost is None:
            return now
        pages = []
        for start in range(0, len(now), PAGE):
            page = now[start : start + PAGE]
            old = before[start : start + PAGE].ljust(len(page), b"\0")[: len(page)]
            pages.append(old if page == lost[start : start + PAGE] else page)
        return b"".join(pages)

    def _torn(self, before: bytes, now: bytes) -> bytes:
        if before == now:
            return now
        length = self._chance.choice(
            (len(before), len(now), self._chance.randint(*sorted((len(before), len(now)))))
        )
        size = max(len(before), len(now))
        pages = (
            self._chance.choice((before, now)).ljust(size, b"\0")[start : start + PAGE]
            for start in range(0, size, PAGE)
        )
        return b"".join(pages)[:length]

    def _look(self) -> None:
        """Note what has changed in the directories."""
        for directory in [self._root, *(each for each in self._root.rglob("*") if each.is_dir())]:
            entries = {}
            for entry in os.scandir(directory):
                inode = entry.inode()
                entries[entry.name] = inode
                if entry.is_file() and inode not in self._files:
                    self._files[inode] = self._real["open"](entry.path, os.O_RDONLY)
            history = self._entries.setdefault(directory, [{}])
            if history[-1] != entries:
                history.append(entries)

    def _read(self, inode: int) -> bytes:
        descriptor = self._files[inode]
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


@dataclass
class World:
    """What has happened so far: to whom clew has answered what, and what the database holds."""

    acknowledged: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)
    database: dict[int, list[bytes]] = field(default_factory=dict)
    stuck: int = 0  # segments that cannot be loaded, however often it is tried

    def copy(self) -> World:
        return World(set(self.acknowledged), set(self.refused), dict(self.database))


def live(disk: Disk, data: Path, world: World, chance: random.Random) -> None:
    """A few clients, the spool, and a loader beside it, for a moment."""
    sealed: list[Segment] = []
    first = chance.randrange(1 << 40)

    def load() -> None:
        """One segment into the database, or most of the way; what fails is put back as it now is."""
        if not sealed:
            return
        segment = sealed.pop(chance.randrange(len(sealed)))
        try:
            segment = segment.without_damage().mark_loading()
            bodies = [batch.body for batch in segment.batches()]
            with disk.lock:
                world.database[segment.id] = bodies
            if chance.random() < 0.9:
                segment = segment.mark_loaded()
            if segment.loaded and chance.random() < 0.9:
                segment.remove()
        except OSError:
            (path,) = segment.path.parent.glob(f"{segment.id:020}-*")
            sealed.append(Segment.from_path("traces", path) or segment)

    async def client(spool: Spool, number: int) -> None:
        for count in range(5):
            batch = Batch(body(first + number * 100 + count, chance.choice((3, 30, 300, 700))), 1)
            try:
                await spool.append("traces", batch)
            except Overloaded:
                with disk.lock:
                    world.refused.add(batch.body)
            else:
                with disk.lock:
                    world.acknowledged.add(batch.body)
            if chance.random() < 0.4:
                load()

    async def clients() -> None:
        spool = Spool(data / "spool", ("traces",), sealed.append)
        await asyncio.gather(*(client(spool, number) for number in range(4)))
        await asyncio.to_thread(spool.close)
        for _ in range(100):
            load()
        world.stuck = len(sealed)

    async def in_time() -> None:
        everyone = asyncio.create_task(clients())
        done, _ = await asyncio.wait([everyone], timeout=30)
        assert done, "clients wait for an answer that never comes"
        with contextlib.suppress(OSError):  # a disk that fails right at the start
            everyone.result()

    asyncio.run(in_time())


def body(number: int, size: int) -> bytes:
    """A request of one resource, which no other request is equal to."""
    resource = number.to_bytes(8, "big") + random.Random(number).randbytes(size)
    length = len(resource)
    varint = bytes((length,)) if length < 128 else bytes((length & 127 | 128, length >> 7))
    return b"\x0a" + varint + resource


def put_back(image: Image, directory: Path) -> Path:
    for name, entries in image.items():
        (directory / name).mkdir(parents=True, exist_ok=True)
        for file, content in entries.items():
            (directory / name / file).write_bytes(content)
    return directory


def found_wanting(world: World, data: Path) -> list[str]:
    """What the power cut cost: the spool starts on what it left, and is compared with the world."""
    segments: list[Segment] = []
    Spool(data / "spool", ("traces",), segments.append).close()
    copies = Counter(each for bodies in world.database.values() for each in bodies)
    wrong = []
    for segment in segments:
        segment = segment.without_damage()
        bodies = [batch.body for batch in segment.batches()]
        if len(bodies) != segment.items:
            wrong.append(f"{segment.path.name} holds {len(bodies)} items")
        if segment.id not in world.database:
            copies.update(bodies)
        elif not (segment.ambiguous or segment.loaded):
            wrong.append(f"{segment.path.name} is in the database and would be loaded again")
        elif bodies != world.database[segment.id]:
            wrong.append(f"{segment.path.name} is not what the database has of it")
        if segment.loaded and segment.id not in world.database:
            wrong.append(f"{segment.path.name} is not in the database")
    wrong += ["LOST" for each in world.acknowledged if not copies[each]]
    wrong += ["DUP" for each, times in copies.items() if times > 1]
    wrong += ["refused, and stored" for each in world.refused if copies[each]]
    return wrong


@pytest.mark.parametrize("failing", [0.0, 0.02], ids=["a good disk", "a disk that fails at times"])
@pytest.mark.parametrize("seeds", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_the_power_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int, failing: float
) -> None:
    """At up to four moments of each run, and once more while what it left is recovered."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1500)
    cuts = 0
    for seed in range(seeds):
        chance = random.Random(seed)
        place = tmp_path / str(seed)
        (place / "data").mkdir(parents=True)
        disk, world = Disk(place, chance, failing), World()
        images: list[tuple[World, Image]] = []

        def cut(disk: Disk = disk, world: World = world, images: Any = images) -> None:
            images.append((world.copy(), disk.cut()))

        with disk.watched():
            disk.at_call = {chance.randrange(1, 150): cut for _ in range(4)}
            live(disk, place / "data", world, chance)
            cut()
        assert world.stuck == 0, seed
        for number, (then, image) in enumerate(images):
            left = put_back(image, tmp_path / f"{seed}-{number}")
            again = Disk(left, chance)
            second: list[Image] = []
            with again.watched():
                again.at_call = {
                    chance.randrange(1, 12): lambda again=again, second=second: second.append(
                        again.cut()
                    )
                }
                wrong = found_wanting(then, left / "data")
                assert wrong == [], (seed, number, image)
            for image_of_recovery in second:
                left = put_back(image_of_recovery, tmp_path / f"{seed}-{number}-again")
                assert found_wanting(then, left / "data") == [], (seed, number, "again")
            cuts += 1 + len(second)
    print(f"{cuts} power cuts")
