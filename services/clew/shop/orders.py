"""Orders: takes an order through reservation and payment, and hands it to fulfilment."""

from __future__ import annotations

import logging
import os
from typing import Annotated, Any
from uuid import uuid4

import httpx
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import Engine, ForeignKey, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from clew.shop import database, service
from clew.shop.faults import TENANT, Faults
from clew.shop.queue import Queue

_log = logging.getLogger(__name__)

_MAX_LEAKED = 500


class _Base(DeclarativeBase):
    pass


class Order(_Base):
    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str]
    cart: Mapped[str]
    total: Mapped[float]
    status: Mapped[str]
    lines: Mapped[list[OrderLine]] = relationship(lazy="selectin")


class OrderLine(_Base):
    __tablename__ = "order_lines"
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    sku: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class Item(BaseModel):
    sku: str
    quantity: int


class OrderRequest(BaseModel):
    user: str
    cart: str
    total: float
    card: str
    items: list[Item]


class _OrderProcess:
    """Stores orders, and takes them through reservation and payment."""

    def __init__(self, engine: Engine, faults: Faults) -> None:
        self._engine = engine
        self._faults = faults
        self._inventory = service.client_of("inventory")
        self._payments = service.client_of("payments")
        self._new_payments = service.client_of("payments_new") if service.is_large() else None

    def store(self, order_id: str, request: OrderRequest) -> None:
        with Session(self._engine) as session:
            session.add(_new_order(order_id, request))
            session.commit()

    def set_status(self, order_id: str, status: str) -> None:
        with Session(self._engine) as session:
            session.execute(update(Order).where(Order.id == order_id).values(status=status))
            session.commit()

    def reserve(self, order_id: str, request: OrderRequest) -> None:
        items = [item.model_dump() for item in request.items]
        try:
            _ask(self._inventory, "/reservations", {"order_id": order_id, "items": items})
        except HTTPException:
            self.set_status(order_id, "out of stock")
            raise

    def pay(self, order_id: str, request: OrderRequest) -> None:
        charge = {
            "order_id": order_id,
            "user": request.user,
            "amount": request.total,
            "card": request.card,
        }
        payments = self._payments
        if self._new_payments and self._faults.strikes("payments_bad_version"):
            payments = self._new_payments
        try:
            _ask(payments, "/charges", charge)
        except HTTPException as error:
            self._inventory.delete(f"/reservations/{order_id}").raise_for_status()
            self.set_status(order_id, "declined" if error.status_code == 402 else "unpaid")
            raise


def app() -> FastAPI:
    faults = service.faults_from_environment()
    orders = service.create_app("orders", faults)
    data = service.data_directory()
    engine = database.open_database(data / "orders.db", _Base.metadata)
    queue = Queue(data / "queue.db")
    fulfilment_delay_s = float(os.environ.get("SHOP_FULFILMENT_DELAY", "1"))
    process = _OrderProcess(engine, faults)
    leaked: list[bytes] = []

    @orders.post("/orders", status_code=201)
    def place_order(
        request: OrderRequest, tenant: Annotated[str, Header(alias=service.TENANT_HEADER)] = ""
    ) -> dict[str, Any]:
        if tenant == TENANT:
            faults.delay("orders_bad_tenant")
        if faults.strikes("orders_memory_leak") and len(leaked) < _MAX_LEAKED:
            leaked.append(b"x" * 1_000_000)
        order_id = uuid4().hex[:12]
        business = {
            "order_id": order_id,
            "user": request.user,
            "cart": request.cart,
            "total": request.total,
        }
        _log.info("order received", extra=business)
        process.store(order_id, request)
        process.reserve(order_id, request)
        process.pay(order_id, request)
        process.set_status(order_id, "confirmed")
        queue.put(order_id, request.user, delay_s=fulfilment_delay_s)
        _log.info("order confirmed", extra=business)
        return {"order_id": order_id, "status": "confirmed", "total": request.total}

    @orders.get("/orders/{order_id}")
    def show_order(order_id: str) -> dict[str, Any]:
        with Session(engine) as session:
            order = session.get(Order, order_id)
            if order is None:
                raise HTTPException(404, f"no order {order_id}")
            return _order_json(order)

    @orders.post("/orders/{order_id}/shipped")
    def mark_shipped(order_id: str) -> dict[str, str]:
        process.set_status(order_id, "shipped")
        _log.info("order shipped", extra={"order_id": order_id})
        return {"order_id": order_id, "status": "shipped"}

    return orders


def _new_order(order_id: str, request: OrderRequest) -> Order:
    lines = [OrderLine(order_id=order_id, **item.model_dump()) for item in request.items]
    return Order(
        id=order_id,
        user=request.user,
        cart=request.cart,
        total=request.total,
        status="received",
        lines=lines,
    )


def _order_json(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "user": order.user,
        "total": order.total,
        "status": order.status,
        "items": [{"sku": line.sku, "quantity": line.quantity} for line in order.lines],
    }


def _ask(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    """Post to another service; its refusal (4xx) becomes ours, its failure a 502."""
    try:
        response = client.post(path, json=body)
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        order = {"order_id": body["order_id"]}
        if error.response.is_client_error:
            _log.warning("%s refused: %s", path, error.response.text, extra=order)
            raise HTTPException(error.response.status_code, error.response.text) from error
        _log.exception("%s failed", path, extra=order)
        raise HTTPException(502, f"{path} failed") from error
