"""Access: who sent a request, and what they may do.

    Principal       the sender and their scopes; every request carries one
    Authenticator   finds the principal of an API key
    Keys            the file of API keys

Errors:

    AccessError
    ├── Unauthenticated   the request has no valid API key
    ├── Forbidden         the key's scopes do not allow it
    └── KeysError         the file of keys cannot be used; says what to write instead
"""

from clew.access.errors import AccessError, Forbidden, KeysError, Unauthenticated
from clew.access.keys import Key, Keys, add_key, new_key
from clew.access.principal import ANYONE, SCOPES, Authenticator, Principal, bearer_key

__all__ = [
    "ANYONE",
    "SCOPES",
    "AccessError",
    "Authenticator",
    "Forbidden",
    "Key",
    "Keys",
    "KeysError",
    "Principal",
    "Unauthenticated",
    "add_key",
    "bearer_key",
    "new_key",
]
