"""What the agent would do in a Python: `python -m clew.agent.explain COMMAND…` says it and ends.

`clew run --explain` runs this with the Python that its command would run in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from clew.agent import naming, settings, versions


def explain(command: Sequence[str]) -> list[str]:
    """Lines: the service's name and where it is from, where telemetry goes, and what is
    instrumented in this environment; or why the agent does not start."""
    clash = versions.clash()
    python = f"python         {sys.executable} ({sys.version.split()[0]}), clew {version('clew')}"
    if clash is not None and clash.is_fatal:
        return [python, f"not started    {clash.text}"]
    from clew.agent import instrumentations

    environ = dict(os.environ)
    settings.apply_defaults(environ)
    name = naming.resolve(environ, command)
    libraries = instrumentations.found_libraries()
    return [
        f"{python}, OpenTelemetry {version('opentelemetry-sdk')}",
        *([f"clash          {clash.text}"] if clash is not None else []),
        f"service        {name.text}, from {name.source}",
        f"endpoint       {environ['OTEL_EXPORTER_OTLP_ENDPOINT']} "
        f"({environ['OTEL_EXPORTER_OTLP_PROTOCOL']})",
        *(
            f"{signal:14} {environ[f'OTEL_{signal.upper()}_EXPORTER']}"
            for signal in ("traces", "metrics", "logs")
        ),
        f"sampling       {environ.get('OTEL_TRACES_SAMPLER', 'every trace')} "
        f"{environ.get('OTEL_TRACES_SAMPLER_ARG', '')}".rstrip(),
        f"instrumented   {', '.join(libraries.instrumented) or 'no library that is installed'}; "
        "of the standard library sqlite3, threading, urllib",
        *(f"left out       {library}" for library in libraries.left_out),
        *(f"left off       {name}: {reason}" for name, reason in instrumentations.LEFT_OFF.items()),
        *(
            f"setting        {setting}={environ[setting]}"
            for setting in sorted(os.environ)
            if setting.startswith(("OTEL_", "CLEW_")) and not setting.endswith(_SECRET)
        ),
    ]


_SECRET = ("_HEADERS", "_KEY", "_SECRET", "_TOKEN", "_PASSWORD")


if __name__ == "__main__":
    print("\n".join(explain(sys.argv[1:])))
