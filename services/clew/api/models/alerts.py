"""Alerts, and what people say of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clew.analysis.alerts.notes import SaidKind
from clew.analysis.alerts.rules import Severity
from clew.analysis.alerts.states import Known, State
from clew.api.models.common import Count, Cursor, Millis, StoredResponse, Time, TraceId
from clew.api.models.notifications import Notification
from clew.api.reference import Model

AlertId = Annotated[str, Field(description="Stable id of the alert.", pattern="^[0-9a-f]{16}$")]
Labels = Annotated[
    dict[str, str],
    Field(
        description="What the alert is about: service, operation, transaction, environment, …",
        examples=[{"service": "payments", "environment": "production"}],
    ),
]
Author = Annotated[
    str, Field(description="The name of the API key; empty in a clew without API keys.")
]


class Alert(Model):
    """One rule for one set of labels, which has fired at least once or is about to."""

    id: AlertId
    rule: str = Field(examples=["payments slow"])
    """Name of the rule."""
    state: State
    """`firing`, or `recovering` when the rule no longer holds but may soon again, is an open alert;
    `pending` is about to fire."""
    known: Known
    """Whether the rule could be judged in the last minute, and why not: `no_data` (the service sent
    nothing), `late` (not stored yet), `error` (of the rule), `learning` (too little history). What
    cannot be judged keeps its state."""
    severity: Severity
    """`page` wakes people, `ticket` waits until they look, `info` tells nobody."""
    since: Time
    """Of an open alert: when its episode began; else when its state began."""
    headline: str = Field(examples=["payments: failed requests 25 %, limit 5 %"])
    """What is wrong, in one line."""
    measure: str = Field(examples=["p95"])
    """What is measured; empty if the rule has no measure."""
    unit: str = Field(examples=["ms"])
    """Unit of `value` and `expected`: `ms`, `1` (a share), `/s`; empty for other numbers."""
    value: float | None
    """The measured value; null if there is none."""
    expected: float | None
    """The limit of the rule, or what is usual; null if there is none."""
    n: float
    """How many requests the value rests on."""
    labels: Labels
    group: AlertId
    """The alert that stands for this one and others with the same cause; its own id if it stands
    for itself."""
    episode: Count
    """Number of the last episode, from firing to resolved; 0 if it never fired."""
    is_flapping: bool
    """Whether it fires and ends again and again: one message said so, and no further one goes
    out."""
    acknowledged_by: Author | None
    """Who takes care of this episode; null if nobody said so."""
    silenced_by: str | None
    """Id of the silence that holds for it now; null if none does."""
    examples: list[TraceId]
    """Traces that show it."""
    sql: str
    """The statement that gives the value, ready to be run again; empty if there is none."""


class Alerts(StoredResponse):
    """A page of alerts, open ones first."""

    alerts: list[Alert]
    """The alerts of this page."""
    next_cursor: Cursor


class AlertChange(Model):
    """A change of an alert's state."""

    time: Time
    """When the state began."""
    state: State
    """The state."""
    episode: Count
    """Number of the episode."""
    headline: str
    """What was wrong, in one line."""
    value: float | None
    """The measured value at that time; null if there was none."""
    n: float
    """How many requests the value rests on."""


class Note(Model):
    """What somebody said of an episode of an alert."""

    alert: AlertId
    episode: Count
    """Number of the episode."""
    kind: SaidKind
    """`acknowledged`: somebody takes care of it. `useful`, `noise`: whether it was worth it."""
    author: Author
    text: str
    """What else was said."""
    time: Time
    """When."""


class Band(Model):
    """What is usual at that hour, in the alert's unit."""

    lower: float
    """Lower end."""
    upper: float
    """Upper end."""


class AlertView(StoredResponse):
    """One alert, with everything that is known of it."""

    alert: Alert
    """The alert."""
    explanation: dict[str, str]
    """The numbers behind it as texts, by name: value, expected, requests, window, z and others."""
    band: Band | None
    """What is usual at that hour; null if the rule does not say."""
    z: float | None
    """How far off the value is, in standard deviations; null if the rule does not say."""
    window_ms: Millis
    """The window that was judged, in milliseconds."""
    diagnosis: str | None
    """The path of the request that says why, `GET /api/v1/diagnose`; null if it never fired."""
    cause: str | None
    """The first cause that a diagnosis named when the last episode began, in one sentence; null if
    it named none, or the alert is not about traces."""
    members: list[Alert]
    """The other alerts of its group."""
    history: list[AlertChange]
    """Changes of its state, the newest first, of the last 90 days; at most 200."""
    notes: list[Note]
    """What people said of it, the newest first."""
    notifications: list[Notification]
    """What receivers were told of it, the newest first; at most 50."""


class AcknowledgeBody(Model):
    """What is said beside `I take care of it`."""

    text: str = Field(default="", max_length=1000)
    """What else to say."""


class FeedbackBody(Model):
    """Whether an alert was worth telling."""

    useful: bool
    """True if it was, false if it was noise."""
    accepted: bool = False
    """True if the change is meant to stay: from its begin on it counts as usual, and the alert ends
    within two hours."""
    text: str = Field(default="", max_length=1000)
    """What else to say."""
