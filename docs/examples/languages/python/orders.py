"""Quotes an item: asks the next service for its part, and adds its own name to the answer.

NEXT is the address of the next service; without it this one is the last of the chain. It knows
nothing of OpenTelemetry: `clew run` brings that along.
"""

from __future__ import annotations

import logging
import os

import httpx
import uvicorn
from fastapi import FastAPI, Response

NEXT = os.environ.get("NEXT", "")

app = FastAPI()
log = logging.getLogger("orders")


@app.get("/quotes/{item}")
def quote(item: str, response: Response) -> dict[str, list[str]]:
    log.info("quoting %s", item)
    if not NEXT:
        return {"services": ["python"]}
    answer = httpx.get(f"{NEXT}/quotes/{item}", timeout=30)
    response.status_code = answer.status_code
    if answer.is_error:
        log.error("no quote for %s", item)
        return {"services": []}
    return {"services": ["python", *answer.json()["services"]]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")
