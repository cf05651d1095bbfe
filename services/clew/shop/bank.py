"""The bank: a third party that authorises charges. It sends no telemetry."""

from __future__ import annotations

import random
import time

from fastapi import FastAPI, HTTPException

from clew.shop import service


def app() -> FastAPI:
    faults = service.faults_from_environment()
    bank = service.create_app("bank", faults)

    @bank.post("/authorisations", status_code=201)
    def authorise() -> dict[str, str]:
        time.sleep(random.uniform(0.003, 0.012))
        faults.delay("bank_slow")
        if faults.strikes("bank_retry_storm"):
            raise HTTPException(503, "try again")
        return {"status": "authorised"}

    return bank
