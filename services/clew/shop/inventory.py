"""Inventory: the products, what of them is in stock, and what leaves the house."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import delete, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from clew.shop import database, service
from clew.shop.faults import SECOND_INSTANCE, Faults
from clew.shop.stocktaking import Stocktaking

_log = logging.getLogger(__name__)

_NAMES = (
    "Espresso cup",
    "Teapot",
    "Moka pot",
    "Kettle",
    "Hand grinder",
    "Milk jug",
    "Paper filters",
    "Dripper",
    "Scale",
    "Thermos",
    "Saucer",
    "Sugar bowl",
)
_FULL_STOCK = 1000
_LOW_STOCK = 200


class ScannerError(Exception):
    """The scanner at a shelf did not answer."""


class _Base(DeclarativeBase):
    pass


class Product(_Base):
    __tablename__ = "products"
    sku: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[float]


class Stock(_Base):
    __tablename__ = "stock"
    sku: Mapped[str] = mapped_column(primary_key=True)
    available: Mapped[int]


class Reservation(_Base):
    __tablename__ = "reservations"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class Item(BaseModel):
    sku: str
    quantity: int


class ReservationRequest(BaseModel):
    order_id: str
    items: list[Item]


def app() -> FastAPI:
    faults = service.faults_from_environment()
    inventory = service.create_app("inventory", faults)
    path = service.data_directory() / "inventory.db"
    stocktaking = Stocktaking(faults, path, _Base.metadata)
    stocktaking.start()
    open_session = stocktaking.open_session
    _fill_shelves(path)
    _add_shelves(inventory, faults)
    orders = service.client_of("orders")
    is_second = os.environ.get("SHOP_INSTANCE") == SECOND_INSTANCE

    @inventory.get("/products")
    def list_products() -> list[dict[str, Any]]:
        with open_session() as session:
            products = list(session.scalars(select(Product).order_by(Product.sku)))
            stock = _stock_of(session, [product.sku for product in products], faults)
        return [_product_json(product, stock[product.sku]) for product in products]

    @inventory.get("/products/{sku}")
    def show_product(sku: str) -> dict[str, Any]:
        if is_second:
            faults.delay("inventory_bad_instance")
        with open_session() as session:
            product = session.get(Product, sku)
            if product is None:
                raise HTTPException(404, f"no product {sku}")
            return _product_json(product, session.get_one(Stock, sku).available)

    @inventory.post("/reservations", status_code=201)
    def reserve(request: ReservationRequest) -> dict[str, str]:
        with open_session() as session:
            for item in request.items:
                _take(session, request.order_id, item)
            session.commit()
        _log.info("stock reserved", extra={"order_id": request.order_id})
        return {"order_id": request.order_id}

    @inventory.delete("/reservations/{order_id}", status_code=204)
    def release(order_id: str) -> None:
        with open_session() as session:
            for reservation in _reserved(session, order_id):
                _put_back(session, reservation)
            session.commit()
        _log.info("reservation released", extra={"order_id": order_id})

    @inventory.post("/shipments/{order_id}", status_code=201)
    def ship(order_id: str) -> dict[str, Any]:
        faults.delay("inventory_queue_lag")
        with open_session() as session:
            parcel = {row.sku: row.quantity for row in _reserved(session, order_id)}
            for sku in parcel:
                _restock_if_low(session, sku)
            session.execute(delete(Reservation).where(Reservation.order_id == order_id))
            session.commit()
        orders.post(f"/orders/{order_id}/shipped").raise_for_status()
        _log.info("parcel shipped", extra={"order_id": order_id, "parcel_size": len(parcel)})
        return {"order_id": order_id, "items": parcel}

    return inventory


def _add_shelves(inventory: FastAPI, faults: Faults) -> None:
    @inventory.get("/shelves/{shelf}")
    def read_shelf(shelf: int) -> dict[str, Any]:
        if faults.strikes("storefront_swallowed_errors"):
            raise ScannerError(f"shelf {shelf} cannot be read")
        time.sleep(random.uniform(0.02, 0.04))
        return {"shelf": shelf, "products": list(_NAMES[shelf :: service.SHELVES])}


def _fill_shelves(path: Path) -> None:
    connection: sqlite3.Connection = database.connect(path)
    with connection:
        for number, name in enumerate(_NAMES, start=1):
            sku, price = f"sku-{number:02}", 4.5 + number * 3
            connection.execute(
                "INSERT OR IGNORE INTO products VALUES (?, ?, ?)", (sku, name, price)
            )
            connection.execute("INSERT OR IGNORE INTO stock VALUES (?, ?)", (sku, _FULL_STOCK))
    connection.close()


def _product_json(product: Product, available: int) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "name": product.name,
        "price": product.price,
        "available": available,
    }


def _stock_of(session: Session, skus: list[str], faults: Faults) -> dict[str, int]:
    if faults.strikes("inventory_n_plus_one"):
        return {sku: session.get_one(Stock, sku).available for sku in skus}
    rows = session.scalars(select(Stock).where(Stock.sku.in_(skus)))
    return {row.sku: row.available for row in rows}


def _take(session: Session, order_id: str, item: Item) -> None:
    enough = (Stock.sku == item.sku) & (Stock.available >= item.quantity)
    stock = session.scalars(
        update(Stock)
        .where(enough)
        .values(available=Stock.available - item.quantity)
        .returning(Stock.available)
    ).all()
    if not stock:
        _log.warning("out of stock", extra={"order_id": order_id, "sku": item.sku})
        raise HTTPException(409, f"not enough of {item.sku} in stock")
    session.add(Reservation(order_id=order_id, sku=item.sku, quantity=item.quantity))


def _reserved(session: Session, order_id: str) -> list[Reservation]:
    return list(session.scalars(select(Reservation).where(Reservation.order_id == order_id)))


def _put_back(session: Session, reservation: Reservation) -> None:
    session.execute(
        update(Stock)
        .where(Stock.sku == reservation.sku)
        .values(available=Stock.available + reservation.quantity)
    )
    session.delete(reservation)


def _restock_if_low(session: Session, sku: str) -> None:
    is_low = (Stock.sku == sku) & (Stock.available < _LOW_STOCK)
    restocked = session.scalars(
        update(Stock).where(is_low).values(available=_FULL_STOCK).returning(Stock.sku)
    ).all()
    if restocked:
        _log.warning("stock was low, reordered", extra={"sku": sku})
