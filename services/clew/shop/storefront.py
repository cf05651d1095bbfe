"""Storefront: what the shop's customers talk to."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any
from uuid import uuid4

import httpx
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from clew.shop import service
from clew.shop.faults import Faults

_log = logging.getLogger(__name__)

_REMEMBERED_S = 300.0


class CartItem(BaseModel):
    sku: str
    quantity: int


class CartRequest(BaseModel):
    user: str
    items: list[CartItem]


class CheckoutRequest(BaseModel):
    cart_id: str
    card: str


def app() -> FastAPI:
    faults = service.faults_from_environment()
    storefront = service.create_app("storefront", faults)
    orders = service.client_of("orders")
    inventory = service.client_of("inventory")
    carts: dict[str, dict[str, Any]] = {}
    prices = Prices(inventory, faults)
    readers = ThreadPoolExecutor(service.SHELVES * 4, "shelves")

    @storefront.get("/")
    async def home() -> dict[str, str]:
        faults.delay("storefront_loop_blocked")
        return {"shop": "Everything for coffee", "products": "/products"}

    @storefront.get("/products")
    def list_products() -> Any:
        products = _ask(inventory, "GET", "/products")
        if service.is_large():
            apply = map if faults.strikes("storefront_serial") else readers.map
            list(apply(partial(_read_shelf, inventory), range(service.SHELVES)))
        if faults.strikes("storefront_n_plus_one"):
            return [_ask(inventory, "GET", f"/products/{one['sku']}") for one in products]
        return products

    @storefront.get("/products/{sku}")
    def show_product(sku: str) -> Any:
        return _ask(inventory, "GET", f"/products/{sku}")

    @storefront.post("/cart", status_code=201)
    def fill_cart(request: CartRequest) -> dict[str, Any]:
        total = round(sum(prices.price(item.sku) * item.quantity for item in request.items), 2)
        cart_id = uuid4().hex[:12]
        carts[cart_id] = {"cart": cart_id, "total": total, **request.model_dump()}
        _log.info("cart filled", extra={"cart": cart_id, "user": request.user, "total": total})
        return {"cart_id": cart_id, "total": total}

    @storefront.post("/checkout", status_code=201)
    def check_out(
        request: CheckoutRequest, tenant: Annotated[str, Header(alias=service.TENANT_HEADER)] = ""
    ) -> Any:
        cart = carts.pop(request.cart_id, None)
        if cart is None:
            raise HTTPException(404, f"no cart {request.cart_id}")
        order = _ask(orders, "POST", "/orders", {**cart, "card": request.card}, tenant)
        business = {"order_id": order["order_id"], "user": cart["user"]}
        _log.info("checkout complete", extra={**business, "total": cart["total"]})
        return order

    @storefront.get("/orders/{order_id}")
    def show_order(order_id: str) -> Any:
        return _ask(orders, "GET", f"/orders/{order_id}")

    return storefront


class Prices:
    """The prices of products. A large shop remembers them for a while."""

    def __init__(self, inventory: httpx.Client, faults: Faults) -> None:
        self._inventory = inventory
        self._faults = faults
        self._remembered: dict[str, tuple[float, float]] = {}  # with the time until which they hold

    def price(self, sku: str) -> float:
        price, until = self._remembered.get(sku, (0.0, 0.0))
        if time.monotonic() >= until or self._faults.strikes("storefront_cache_off"):
            price = float(_ask(self._inventory, "GET", f"/products/{sku}")["price"])
            if service.is_large():
                self._remembered[sku] = price, time.monotonic() + _REMEMBERED_S
        return price


def _read_shelf(inventory: httpx.Client, shelf: int) -> list[str]:
    """What lies on a shelf; nothing if it cannot be read."""
    response = inventory.get(f"/shelves/{shelf}")
    return list(response.json()["products"]) if response.is_success else []


def _ask(
    client: httpx.Client,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    tenant: str = "",
) -> Any:
    """The JSON another service answers with; its refusal (4xx) becomes ours, its failure a 502."""
    headers = {service.TENANT_HEADER: tenant} if tenant else None
    try:
        response = client.request(method, path, json=body, headers=headers)
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        if error.response.is_client_error:
            raise HTTPException(error.response.status_code, error.response.text) from error
        _log.exception("%s %s failed", method, path, extra=_business(body))
        raise HTTPException(502, "please try again later") from error
    return response.json()


def _business(body: dict[str, Any] | None) -> dict[str, Any]:
    return {key: body[key] for key in ("user", "cart", "total") if key in body} if body else {}
