"""Payments: charges cards. A declined card is an answer, not an error."""

from __future__ import annotations

import logging
import os
import random
import time
from uuid import uuid4

import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from clew.shop import service
from clew.shop.fleet import NEW_PAYMENTS

_log = logging.getLogger(__name__)

# Cards with this ending are declined, as with the test cards of real payment providers.
DECLINED_ENDING = "0002"
_ATTEMPTS = 6
_SLOWER_S = 0.25  # that the new version takes longer


class ChargeRequest(BaseModel):
    order_id: str
    user: str
    amount: float
    card: str


class GatewayError(Exception):
    """The bank behind us did not answer as it should."""


def app() -> FastAPI:
    faults = service.faults_from_environment()
    payments = service.create_app("payments", faults)
    is_new = os.environ.get("SHOP_INSTANCE") == NEW_PAYMENTS
    bank = service.bank_client() if service.is_large() else None

    @payments.post("/charges", status_code=201)
    def charge(request: ChargeRequest) -> dict[str, str]:
        business = {"order_id": request.order_id, "user": request.user, "amount": request.amount}
        _authorise(bank, request.order_id)
        faults.delay("payment_latency")
        if is_new:
            time.sleep(_SLOWER_S)
        if faults.strikes("payment_errors"):
            _log.error("bank timed out", extra=business)
            raise GatewayError(f"no authorisation for order {request.order_id}: bank timed out")
        if request.card.endswith(DECLINED_ENDING):
            _log.warning("card declined", extra=business)
            raise HTTPException(402, "card declined")
        _log.info("card charged", extra=business)
        return {"charge_id": uuid4().hex}

    return payments


def _authorise(bank: httpx.Client | None, order_id: str) -> None:
    """Ask the bank, again at once where it refuses; a small shop only waits as long as that takes.
    Raises GatewayError."""
    if bank is None:
        time.sleep(random.uniform(0.003, 0.012))
        return
    for _ in range(_ATTEMPTS):
        if bank.post("/authorisations", json={"order_id": order_id}).is_success:
            return
    raise GatewayError(f"no authorisation for order {order_id}: bank refused")
