"""Access: who sent a request, and what they may do.

    Principal       the sender and their scopes; every request carries one
    Authenticator   finds the principal of an API key
    Keys            the file of API keys
    Logins          tokens that stand for an API key in a browser
    HostGuard       refuses requests for names that are not this server's, and from foreign pages

Errors:

    AccessError
    ├── Unauthenticated   the request has no valid API key
    ├── Forbidden         the key's scopes do not allow it
    └── KeysError         the file of keys cannot be used; says what to write instead
"""

from clew.access.errors import AccessError, Forbidden, KeysError, Unauthenticated
from clew.access.hosts import READING, HostGuard, Hosts
from clew.access.keys import Key, Keys, add_key, new_key
from clew.access.logins import LIFETIME, Logins, login_secret
from clew.access.principal import ANYONE, SCOPES, Authenticator, Principal, bearer_key

__all__ = [
    "ANYONE",
    "LIFETIME",
    "READING",
    "SCOPES",
    "AccessError",
    "Authenticator",
    "Forbidden",
    "HostGuard",
    "Hosts",
    "Key",
    "Keys",
    "KeysError",
    "Logins",
    "Principal",
    "Unauthenticated",
    "add_key",
    "bearer_key",
    "login_secret",
    "new_key",
]
