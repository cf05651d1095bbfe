"""Starts the agent. `clew run` puts this directory first on PYTHONPATH, and Python imports a module
of this name before the service's own code. The `sitecustomize` that it hides still runs.

Any Python may import this file, also one that is too old for clew or does not have it: then it
says so in one line, and the service runs without the agent.
"""

import os
import sys


def _start():  # type: ignore[no-untyped-def]
    try:
        from clew.agent.workers import start_late

        if start_late(_start):
            return
        from clew.agent.start import start
    except Exception as error:
        if os.environ.get("CLEW_ENABLED", "").strip().lower() != "false":
            reason = f"{type(error).__name__}: {error}"
            sys.stderr.write(
                f"clew: not instrumented: {sys.executable} cannot import clew ({reason}). "
                f"Install it there: {sys.executable} -m pip install clew\n"
            )
        return
    start()


def _run_hidden():  # type: ignore[no-untyped-def]
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    directory = os.path.dirname(os.path.abspath(__file__))
    path = [entry for entry in sys.path if os.path.abspath(entry) != directory]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_start()  # type: ignore[no-untyped-call]
_run_hidden()  # type: ignore[no-untyped-call]
