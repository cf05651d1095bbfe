"""The place of a handler in the code, as the span of a request says it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from clew.agent.entries.places import handler_place


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


def charge() -> None: ...


class View:
    def get(self) -> None: ...


class Callable_:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None: ...


def as_view() -> Callable[..., Any]:
    def view() -> None: ...

    view.view_class = View  # type: ignore[attr-defined]
    return view


@pytest.mark.parametrize("handler", [charge, logged(charge), functools.partial(logged(charge))])
def test_a_function_is_found_below_its_decorators(handler: Any) -> None:
    place = handler_place(handler)
    assert place["code.function.name"] == f"{__name__}.charge"
    assert place["code.file.path"] == __file__
    assert place["code.line.number"] == charge.__code__.co_firstlineno


def test_methods_and_classes_have_names() -> None:
    assert handler_place(View().get)["code.function.name"] == f"{__name__}.View.get"
    assert handler_place(as_view()) == {"code.function.name": f"{__name__}.View"}
    assert handler_place(as_view)["code.function.name"] == f"{__name__}.as_view"


def test_what_is_no_function_has_no_place() -> None:
    assert handler_place(Callable_()) == {}
    assert handler_place(None) == {}


def test_a_function_within_another_has_its_own_name() -> None:
    def inner() -> None: ...

    assert handler_place(inner)["code.function.name"] == f"{__name__}.inner"


class Hostile:
    def __getattr__(self, name: str) -> str:
        raise RuntimeError(name)


def test_an_object_that_raises_is_no_handler() -> None:
    assert handler_place(Hostile()) == {}
