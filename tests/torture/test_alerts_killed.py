"""kill -9 while alerts fire and are resolved: every change reaches the receiver, at most twice and
then under one key, and an alert that fires has done so since the same time."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import judge_and_tell
import pytest

from clew.storage import Ingest, Store, migrate
from support.receivers import Sink, sink
from support.traffic import ERROR, MILLISECOND, OK, SECOND, SERVER, Loader, Process, Span

# They fail in turn, so that none fires four times within six hours: that is one message.
PROCESSES = [Process(name, f"{name}-1") for name in ("payments", "orders", "stock", "mail")]
FAILING, CALM = 2, 34  # minutes; an alert that fires within 30 min of the last is opened again
RULES = """
defaults: {{receiver: team, keep_firing_for: 1m}}
watch: [{{select: {{service: nobody}}}}]
rules: [{{name: requests fail, select: {{services: "*"}}, when: error_rate > 5%, over: 1m}}]
receivers: {{team: {{webhook: {{url: "{url}"}}, per_minute: 60}}}}
"""


def load(database: str, directory: Path, begin: int, minutes: int) -> None:
    """Minutes with a request a few seconds; all of a service fail in some of them. In a process of its own, as
    a database has one owner."""
    store = Store(database)
    migrate(store)
    loader = Loader(Ingest(store), directory)
    loader.spans(spans(begin, minutes))
    store.close()


def spans(begin: int, minutes: int) -> Iterator[Span]:
    ids = itertools.count(1)
    for minute in range(minutes):
        turn, part = divmod(minute, FAILING + CALM)
        for number, process in enumerate(PROCESSES):
            is_failing = part >= CALM and turn % len(PROCESSES) == number
            for second in range(0, 60, 10):
                id, start = next(ids), (begin + 60 * minute + second) * SECOND
                yield Span(
                    f"{id:032x}", f"{id:016x}", "", process, "POST /", SERVER, start,
                    start + 50 * MILLISECOND, status=ERROR if is_failing else OK,
                )  # fmt: skip


def told(receiver: Sink) -> list[tuple[str, str, str, int]]:
    """Key, status, begin and number of the episode of each message."""
    documents: list[dict[str, Any]] = [json.loads(body) for _, body in receiver.requests]
    return [
        (document["key"], alert["status"], alert["startsAt"], len(document["alerts"]))
        for document in documents
        for alert in document["alerts"]
    ]


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_change_and_repeats_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills, episodes = 200, 40
    minutes = episodes * (FAILING + CALM) + 10  # the last one is resolved too
    begin = int(time.time()) // 3600 * 3600 - (minutes // 60 + 2) * 3600
    database = f"chdb://{tmp_path / 'db'}"
    # Processes that have imported everything and opened nothing: to start one is cheap.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["judge_and_tell", "test_alerts_killed"])
    loading = context.Process(target=load, args=(database, tmp_path, begin, minutes))
    loading.start()
    loading.join()
    assert loading.exitcode == 0
    choice = random.Random(5)
    with sink() as receiver:
        rules = tmp_path / "alerts.yaml"
        rules.write_text(RULES.format(url=receiver.url))
        end = begin + 60 * minutes
        killed = 0
        while True:
            is_ready = context.Event()
            process = context.Process(
                target=judge_and_tell.run, args=(database, rules, begin, end, is_ready)
            )
            process.start()
            assert is_ready.wait(60)
            process.join(choice.uniform(0, 0.4) if killed < kills else None)
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            killed += 1
        assert process.exitcode == 0
        messages = told(receiver)
    assert killed >= kills / 2  # all minutes may be judged before
    assert {count for *_, count in messages} == {1}
    keys = Counter(key for key, *_ in messages)
    assert max(keys.values()) <= 2
    by_key = {key: (status, since) for key, status, since, _ in messages}
    assert len(set(messages)) == len(by_key)  # what comes twice says the same
    states = Counter(by_key.values())
    assert set(states.values()) == {1}
    begins = sorted(since for status, since in states if status == "firing")
    assert len(begins) == episodes
    assert begins == sorted(since for status, since in states if status == "resolved")
