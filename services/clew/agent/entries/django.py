"""Django's requests."""

from __future__ import annotations

from typing import Any

from clew.agent.entries.active import create_active_requests


def replace(module: Any) -> None:
    """Have contrib's module count active requests as the others do."""
    module.create_http_server_active_requests = create_active_requests
