"""Business context without code: what an entry request says of the transaction that it belongs to.

rules         which parts of which requests are taken, as clew's definitions say
subscription  the rules, fetched in the background and kept on the disk
requests      requests over ASGI, WSGI and aiohttp, as the rules read them
bodies        JSON bodies, seen while the service reads them
carried       what is taken, in the context, on spans and log records, and in baggage
hosts         the hosts that baggage may carry it to
frameworks    what frameworks need, so that bodies and contexts pass by us
redirects     redirects to other hosts, which copy headers
"""

from __future__ import annotations

from typing import Any


def follow(service: str) -> Any:
    """Take and carry business context from now on, by the rules for this service; gives what has a
    thread: pause() ends it, resume() starts it. None if no rules are fetched."""
    from clew.agent.business import carried, frameworks, redirects, subscription

    redirects.watch_redirects(carried.set_up())
    frameworks.prepare_frameworks()
    return subscription.subscribe(service)
