"""Storefront: what the shop's customers talk to."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from clew.shop import service

_log = logging.getLogger(__name__)


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
    storefront = service.create_app("storefront", service.faults_from_environment())
    orders = service.client_of("orders")
    inventory = service.client_of("inventory")
    carts: dict[str, dict[str, Any]] = {}

    @storefront.get("/")
    def home() -> dict[str, str]:
        return {"shop": "Everything for coffee", "products": "/products"}

    @storefront.get("/products")
    def list_products() -> Any:
        return _ask(inventory, "GET", "/products")

    @storefront.get("/products/{sku}")
    def show_product(sku: str) -> Any:
        return _ask(inventory, "GET", f"/products/{sku}")

    @storefront.post("/cart", status_code=201)
    def fill_cart(request: CartRequest) -> dict[str, Any]:
        prices = {
            item.sku: _ask(inventory, "GET", f"/products/{item.sku}")["price"]
            for item in request.items
        }
        total = round(sum(prices[item.sku] * item.quantity for item in request.items), 2)
        cart_id = uuid4().hex[:12]
        carts[cart_id] = {"cart": cart_id, "total": total, **request.model_dump()}
        _log.info("cart filled", extra={"cart": cart_id, "user": request.user, "total": total})
        return {"cart_id": cart_id, "total": total}

    @storefront.post("/checkout", status_code=201)
    def check_out(request: CheckoutRequest) -> Any:
        cart = carts.pop(request.cart_id, None)
        if cart is None:
            raise HTTPException(404, f"no cart {request.cart_id}")
        order = _ask(orders, "POST", "/orders", {**cart, "card": request.card})
        business = {"order_id": order["order_id"], "user": cart["user"]}
        _log.info("checkout complete", extra={**business, "total": cart["total"]})
        return order

    @storefront.get("/orders/{order_id}")
    def show_order(order_id: str) -> Any:
        return _ask(orders, "GET", f"/orders/{order_id}")

    return storefront


def _ask(client: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON another service answers with; its refusal (4xx) becomes ours, its failure a 502."""
    try:
        response = client.request(method, path, json=body)
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        if error.response.is_client_error:
            raise HTTPException(error.response.status_code, error.response.text) from error
        _log.exception("%s %s failed", method, path, extra=_business(body))
        raise HTTPException(502, "please try again later") from error
    return response.json()


def _business(body: dict[str, Any] | None) -> dict[str, Any]:
    return {key: body[key] for key in ("user", "cart", "total") if key in body} if body else {}
