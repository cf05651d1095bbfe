"""The start of the agent in a service's process (clew.agent.boot imports this).

Every setting gets its default, the SDK is set up, and instrumentations wait for the import of their
libraries. What fails on the way is said once on stderr and left out: the service runs as it does
without the agent.
"""

from __future__ import annotations

import os
import sys

from clew.agent import settings, versions, wrappers
from clew.agent.naming import Name

ANNOUNCED = "CLEW_ANNOUNCED"  # set for the children of a process that has said how it is set up
_CLASH_ANNOUNCED = "CLEW_CLASH_ANNOUNCED"


def start() -> None:
    """Set the agent up in this process. Raises nothing."""
    clash = None
    try:
        if is_off():
            return
        if wrappers.is_wrapper():
            wrappers.take_its_place()
            return
        clash = versions.clash()
        if clash is not None and clash.is_fatal:
            _say_once(f"clew: not instrumented: {clash.text}")
            return
        _start()
        if clash is not None:
            _say_once(f"clew: {clash.text}", _CLASH_ANNOUNCED)
    except Exception as error:
        reason = f"{error!r}; {clash.text}" if clash is not None else repr(error)
        sys.stderr.write(f"clew: not instrumented, going on without: {reason}\n")


def _say_once(line: str, variable: str = ANNOUNCED) -> None:
    """A line on stderr, not repeated by the children of this process."""
    if variable not in os.environ:
        os.environ[variable] = str(os.getpid())
        sys.stderr.write(f"{line}\n")


def is_off() -> bool:
    """Whether the agent is switched off, or the process runs none of the service's code."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return True
    if os.environ.get("CLEW_ENABLED", "").strip().lower() == "false":
        return True
    # multiprocessing starts this interpreter on the side, to clean up after its pools and queues.
    return any("multiprocessing.resource_tracker" in argument for argument in sys.orig_argv)


def _start() -> None:
    import wrapt

    from clew.agent import (
        adoption,
        business,
        delivery,
        endings,
        entries,
        exporters,
        forks,
        greenlets,
        instrumentations,
        logs,
        naming,
        sdk,
        system,
        workers,
    )

    settings.apply_defaults(os.environ)
    name = naming.resolve(os.environ, naming.own_command())
    # FastAPI can attach exporters of its own to our providers, next to ours: everything would be
    # sent twice.
    os.environ["FASTAPI_OTEL_AUTO_CONFIGURE"] = "false"
    if forks.is_embedded():
        forks.prepare()
    with forks.registrations():
        sdk.set_up(name.text)
        delivery.limit_complaints()
        measurement = system.measure()
        delivery.flush_at_end()
        subscription = business.follow(name.text)
    threads = [measurement, endings.flush_at_other_ends(), subscription, *exporters.threads()]
    greenlets.restart_threads_around_patches(*filter(None, threads))
    adoption.adopt_providers()
    if logs.is_exported():
        logs.capture_logs()
    wrapt.register_post_import_hook(workers.mark_workers, "uvicorn.supervisors.multiprocess")
    entries.replace_at_import()
    instrumentations.switch_on_at_import()
    if directory := os.environ.get("CLEW_DOCTOR_DIRECTORY"):
        from clew.agent import report

        report.begin(directory)
    if ANNOUNCED not in os.environ:
        _say_once(announcement(name))


def announcement(name: Name) -> str:
    """What was set up, in one line."""
    from clew.agent import exporters, instrumentations

    libraries = instrumentations.found_libraries()
    parts = [
        f"service {name.text} (from {name.source})",
        exporters.destination(os.environ),
        f"instruments {', '.join(libraries.instrumented) or 'what it imports'}",
    ]
    if libraries.left_out:
        parts.append(f"not instrumented: {'; '.join(libraries.left_out)}")
    return f"clew: {', '.join(parts)}"
