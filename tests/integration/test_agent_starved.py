"""Workers that get little CPU: uvicorn's supervisor kills one that does not answer in time."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from support.capture import SERVER, capturing, free_port, running, under_clew_run
from support.services import environment

PROGRAM = """
import sys
import uvicorn
from uvicorn.supervisors import multiprocess

class Worker(multiprocess.Process):
    def target(self, sockets=None):
        with open("imported", "a") as file:
            file.write(" ".join(sorted({name.partition(".")[0] for name in sys.modules})) + "\\n")
        super().target(sockets)

multiprocess.Process = Worker

if __name__ == "__main__":
    uvicorn.run("shop:app", workers=2, port=int(sys.argv[1]), timeout_worker_healthcheck=60)
"""
APP = """
from fastapi import FastAPI
app = FastAPI()
app.get("/")(lambda: "hello")
"""


def test_the_agent_starts_when_a_worker_can_answer_its_supervisor(tmp_path: Path) -> None:
    modules = {}
    for name in ("bare", "clew"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "program.py").write_text(PROGRAM)
        (directory / "shop.py").write_text(APP)
        port = free_port()
        command = [sys.executable, "program.py", str(port)]
        with capturing() as capture:
            if name == "clew":
                command = under_clew_run(command, endpoint=capture.url)
            with running(command, environment(PYTHONPATH=str(directory)), directory) as process:
                process.wait_for_port(port)
                assert httpx.get(f"http://127.0.0.1:{port}/", timeout=60).text == '"hello"'
                assert process.stop(deadline_s=60) == 0
        lines = (directory / "imported").read_text().splitlines()
        modules[name] = [set(line.split()) for line in lines]
    (span,) = [span for span in capture.spans if span.proto.kind == SERVER]
    assert (span.service, span.proto.name) == ("program", "GET /")
    # Before it can answer, a worker has imported next to nothing of the agent.
    assert {name for added in modules["clew"] for name in added - modules["bare"][0]} == {
        "clew",
        "sitecustomize",
    }
