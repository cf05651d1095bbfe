"""Errors of the delivery."""

from __future__ import annotations


class DeliveryError(Exception):
    """A message that was not taken. `retry_after`: the seconds that the receiver asked to wait;
    None if it did not say."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class AddressRefused(DeliveryError):
    """A receiver whose address clew does not connect to."""
