"""The rules of business context, from clew: fetched in the background, again every now and then,
and kept on the disk, so that the next start has them at once. No start waits for them, and what
fails is said once."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any

from clew.agent import exporting, settings
from clew.agent.business import rules

_log = logging.getLogger(__name__)

PATH = "/v1/clew/rules"
_LONGEST = 4 << 20  # bytes of an answer
_TIMEOUT_S = 10.0
_PATIENCE_S = 0.2  # for a thread that ends
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 120.0  # after failures; doubled from one to the next
# What contrib's instrumentations of frameworks import.
_ENTRIES = tuple(
    f"opentelemetry.instrumentation.{name}" for name in ("asgi", "wsgi", "aiohttp_server")
)
_WHERE_TELEMETRY_GOES = "otlp"
_UNCHANGED, _REFUSALS = 304, (401, 403)


class Subscription:
    """Keeps the rules in force for one service. `url`: where they are; `headers`: sent along."""

    def __init__(
        self,
        service: str,
        url: str,
        headers: Mapping[str, str],
        interval_s: float,
    ) -> None:
        self._service = service
        self._url = url
        self._headers = dict(headers)
        self._interval_s = interval_s
        self._copy: Any = None
        self._etag = ""
        self._failures = 0
        self._is_reported = self._is_started = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Fetch the rules from now on; once is enough."""
        if not self._is_started:
            self._is_started = True
            self.resume()

    def resume(self) -> None:
        """Start the thread again, also in a process that was forked, if it was started."""
        if not self._is_started:
            return
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clew-rules", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be started
            self._thread.start()

    def pause(self) -> None:
        """End the thread, if it is not in the middle of a request."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wake.set()
            thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:
            rules.complain(error)

    def _follow(self) -> None:
        wake = self._wake
        if self._copy is None:
            self._load_copy()
        else:  # in a process that was forked, with the rules in force
            wake.wait(self._pause_s())
        while not wake.is_set():
            self.refresh()
            wake.wait(self._pause_s())

    def refresh(self) -> None:
        """Fetch the rules if they have changed. Raises nothing."""
        try:
            with exporting.importing:
                from clew.agent.business import fetching
            answer = fetching.fetch(self._url, self._headers, self._etag, _TIMEOUT_S, _LONGEST)
            if answer.status != _UNCHANGED:
                self._take(answer.status, answer.etag, answer.body)
        except Exception as error:
            self._fail(error)
        else:
            self._failures = 0

    def _take(self, status: int, etag: str, body: bytes) -> None:
        if status in _REFUSALS:
            raise PermissionError(f"status {status}: CLEW_API_KEY has no key of scope ingest")
        if status != 200:
            raise LookupError(f"status {status}")
        document = json.loads(body)
        self._put_in_force(document)
        self._etag = etag
        self._copy.write(
            {"etag": etag, "document": document}, if_missing=rules.current() is not None
        )

    def _load_copy(self) -> None:
        with exporting.importing:
            from clew.agent.business import disk
        self._copy = disk.copy_of(self._url, self._headers, os.environ)
        try:
            content = self._copy.read()
            if content is not None:
                self._put_in_force(content["document"])
                self._etag = str(content["etag"])
        except Exception as error:
            _log.debug("clew: the copy of the rules of business context is not used: %r", error)

    def _put_in_force(self, document: Any) -> None:
        active = rules.read(document, self._service)
        if active.rules:
            with exporting.importing:
                from clew.agent.business import censoring
            active = censoring.without_secrets(active)
        rules.put_in_force(active)

    def _pause_s(self) -> float:
        pause_s = self._interval_s
        if self._failures:
            pause_s = min(_SHORTEST_PAUSE_S * 2.0 ** min(self._failures, 20), _LONGEST_PAUSE_S)
        return pause_s * (0.8 + 0.4 * int.from_bytes(os.urandom(2)) / 65_535)

    def _fail(self, error: Exception) -> None:
        """A receiver that cannot be reached is the exporters' to report, and one that has no rules
        is no clew: the service's output is not to say so."""
        self._failures += 1
        place = self._url.rpartition("@")[2]
        message = "clew: no rules of business context from %s: %s"
        is_expected = isinstance(error, OSError | LookupError)
        if self._is_reported or (is_expected and not isinstance(error, PermissionError)):
            _log.debug(message, place, error)
        else:
            self._is_reported = True
            _log.warning(message, place, error)


def subscribe(service: str) -> Subscription | None:
    """Keep the rules for this service in force once it imports a framework whose requests they can
    be taken from; None where no address is known that has them, or
    CLEW_RULES_INTERVAL is 0."""
    environ = os.environ
    interval_s = _seconds(settings.value(environ, "CLEW_RULES_INTERVAL"))
    base = _base(environ)
    if not (interval_s and base):
        return None
    url = f"{base}{PATH}"
    subscription = Subscription(service, url, _headers(environ), interval_s)
    for module in _ENTRIES:
        rules.after_import(lambda _: subscription.start(), module)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=subscription.resume)
    return subscription


def _base(environ: MutableMapping[str, str]) -> str:
    """The base address of the receiver that has the rules; empty if there is none that has."""
    named = settings.value(environ, "CLEW_RULES_ENDPOINT").rstrip("/")
    if named != _WHERE_TELEMETRY_GOES:
        return named
    exports = _WHERE_TELEMETRY_GOES in settings.value(environ, "OTEL_TRACES_EXPORTER")
    is_http = settings.value(environ, "OTEL_EXPORTER_OTLP_PROTOCOL").startswith("http")
    if not (exports and is_http):
        return ""
    traces = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    if traces.endswith("/v1/traces"):
        return traces.removesuffix("/v1/traces")
    return settings.value(environ, "OTEL_EXPORTER_OTLP_ENDPOINT").rstrip("/")


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    from opentelemetry.util.re import parse_env_headers

    text = environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or environ.get(
        "OTEL_EXPORTER_OTLP_HEADERS", ""
    )
    return dict(parse_env_headers(text, liberal=True))


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 30.0
