"""Redirects to other hosts. Clients copy the headers of the first request, and some of them make no
span for what follows: business context is taken out of the headers there."""

from __future__ import annotations

import functools
from typing import Any

from clew.agent.business import rules
from clew.agent.business.carried import withhold
from clew.agent.business.hosts import AllowedHosts, host_of_url


def watch_redirects(allowed: AllowedHosts) -> None:
    """Have clients, once they are imported, withhold business context from hosts that are not
    allowed when they are redirected there."""

    def check(headers: Any, host: str | None) -> None:
        try:
            if headers and (host is None or not allowed.allows(host)):
                withhold(headers)
        except Exception as error:
            rules.complain(error)

    def of_requests(module: Any) -> None:
        rebuild_auth = module.SessionRedirectMixin.rebuild_auth

        @functools.wraps(rebuild_auth)
        def rebuild(self: Any, prepared_request: Any, response: Any) -> Any:
            check(prepared_request.headers, host_of_url(prepared_request.url))
            return rebuild_auth(self, prepared_request, response)

        module.SessionRedirectMixin.rebuild_auth = rebuild

    def of_urllib(module: Any) -> None:
        redirect_request = module.HTTPRedirectHandler.redirect_request

        @functools.wraps(redirect_request)
        def redirect(self: Any, *args: Any, **kwargs: Any) -> Any:
            request = redirect_request(self, *args, **kwargs)
            if request is not None:
                check(request.headers, host_of_url(request.full_url))
            return request

        module.HTTPRedirectHandler.redirect_request = redirect

    def of_aiohttp(module: Any) -> None:
        """One of these is made for every address that a request is redirected to."""
        initialize = module.ClientRequest.__init__

        @functools.wraps(initialize)
        def initialize_request(self: Any, method: Any, url: Any, **options: Any) -> None:
            check(options.get("headers"), url.host)
            initialize(self, method, url, **options)

        module.ClientRequest.__init__ = initialize_request

    rules.after_import(of_requests, "requests.sessions")
    rules.after_import(of_urllib, "urllib.request")
    rules.after_import(of_aiohttp, "aiohttp.client_reqrep")
