"""Why an alert fires: a thread that diagnoses what fired, beside the watcher and the deliverer.

The watcher only says what fired. What is found, the cause and what it cost so far, are notes on the
episode, in one sentence each: messages carry them, and `GET /api/v1/alerts/{id}` the cause. A
message waits a few seconds for them at most. What names no cause is asked about again: just after
the begin there may be too few traces.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from clew.analysis import diagnosis
from clew.analysis.alerts.notes import Note, NoteKind, Notes
from clew.analysis.alerts.records import AlertRecord
from clew.analysis.diagnosis import Question, Rows
from clew.analysis.diagnosis.alerted import LABELS, alert_window, before, narrowed, of_definition
from clew.analysis.diagnosis.question import SECOND
from clew.analysis.diagnosis.sentences import impact_text, sentence
from clew.analysis.transactions.definitions import Definition
from clew.background import Stop, Worker
from clew.storage import StorageError

logger = logging.getLogger(__name__)

AUTHOR = "clew"
MAX_WAITING = 200  # alerts that wait for their diagnosis; others have none
# Seconds until one without a cause is diagnosed again: its episode lasts as long at least, unless a
# rule says otherwise.
RETRY_AFTER = (120.0, 420.0)
REST = 9.0  # times as long as a diagnosis took until the next one: a tenth of a core
LIMITS: Mapping[str, int | str] = {"max_execution_time": 5, "max_memory_usage": 1 << 30}

Episode = tuple[str, int]  # an alert's id and the episode's number


@dataclass(frozen=True)
class _Waiting:
    """An alert that waits for its diagnosis until a time, and how often it may wait again."""

    record: AlertRecord
    due: float
    retry_after: Sequence[float] = RETRY_AFTER


class Diagnoser:
    """Diagnoses alerts that fire, one after the other. `notify` is called after each."""

    def __init__(
        self,
        rows: Rows,
        notes: Notes,
        definitions: Callable[[], Sequence[Definition]],
        now: Callable[[], float],
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._rows = rows
        self._notes = notes
        self._definitions = definitions
        self._now = now
        self._notify = notify
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._worker = Worker(
            "diagnoser",
            self._work,
            "alerts are not diagnosed",
            cooldown=lambda seconds: REST * seconds,
        )
        self.start = self._worker.start
        self.paused = self._worker.paused
        self.stop = self._worker.stop
        self.close = self._worker.close

    def ask(self, record: AlertRecord) -> None:
        """Have an alert that fires diagnosed, if it is about traces. Does not wait."""
        if not any(record.labels.get(label) for label in LABELS):
            return
        with self._lock:
            if len(self._queue) >= MAX_WAITING:
                return
            self._queue.append(_Waiting(record, self._now()))
        self._worker.wake()

    def expects(self, alert: str, episode: int) -> bool:
        """Whether an episode has not been diagnosed yet."""
        with self._lock:
            return any(
                (one.record.id, one.record.state.episode) == (alert, episode)
                for one in self._queue
                if one.retry_after is RETRY_AFTER
            )

    def sentences(self) -> dict[Episode, dict[str, str]]:
        """The `cause` that was found of each episode and its `impact`, in a sentence each. Raises
        StorageError."""
        result: dict[Episode, dict[str, str]] = {}
        for note in self._notes.all():
            if note["kind"] in ("cause", "impact"):
                result.setdefault((note["alert"], note["episode"]), {})[note["kind"]] = note["text"]
        return result

    def _work(self, stop: Stop) -> float:
        if (pause := self._due_in()) > 0:
            return pause
        first = min(self._queue, key=lambda one: one.due)
        cause = ""
        try:
            cause = self.diagnose(first.record)
        except StorageError as error:
            logger.warning("%s: not diagnosed: %s", first.record.id, error)
        finally:
            with self._lock:
                self._queue.remove(first)
                if first.retry_after and not cause:
                    due = self._now() + first.retry_after[0]
                    self._queue.append(replace(first, due=due, retry_after=first.retry_after[1:]))
            self._notify()
        return self._due_in()

    def _due_in(self) -> float:
        """Seconds until the next alert is to be diagnosed."""
        with self._lock:
            due = min((one.due for one in self._queue), default=float("inf"))
        return max(0.0, due - self._now())

    def diagnose(self, record: AlertRecord) -> str:
        """The first cause of an alert, which becomes a note on its episode like what the episode
        has cost so far; "" if there is none. Raises StorageError."""
        question = self._question(record)
        answer = diagnosis.diagnose(self._rows, question) if question else {"causes": []}
        if not answer["causes"]:
            return ""
        cause = sentence(answer["causes"][0])
        texts: dict[NoteKind, str] = {"impact": impact_text(answer["impact"]), "cause": cause}
        for kind, text in texts.items():
            note = Note(record.id, record.state.episode, kind, AUTHOR, text, self._now())
            self._notes.add(note)
        return cause

    def _question(self, record: AlertRecord) -> Question | None:
        window = alert_window(record, int(self._now() * SECOND))
        question = narrowed(record, Question(window, before(window)))
        if question.transaction is None:
            return question
        for definition in self._definitions():
            if question.transaction in (definition.id, definition.name):
                return of_definition(question, definition)
        return None
