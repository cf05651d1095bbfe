"""The names behind the id of an automatic transaction."""

from __future__ import annotations

from clew.api.answer import Answer
from clew.storage import queries

OTHER = "(other)"  # the operation of what a service has beyond its first 200 names


def transaction_names(answer: Answer, id: str) -> queries.TransactionNamesRow | None:
    """The service and the operations of the automatic transaction with this id; None if there is
    none. Nearly all have one operation, which is found without planning the search for others."""
    named = answer.first_row(queries.TRANSACTION_NAMES, id=id)
    if named is not None and named["operation"] != OTHER:
        return named
    other = answer.first_row(queries.TRANSACTION_NAMES_OTHER, id=id)
    if other is None:
        return named
    return {
        "service": other["service"],
        "operation": other["operation"],
        "names": other["names"],
        "named": other["named"],
        "rootless": other["rootless"],
    }
