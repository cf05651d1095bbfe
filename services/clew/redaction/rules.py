"""Secrets in text: the rules by which they are found, and functions that replace them.

Nothing here knows OpenTelemetry. Everything is a function of its arguments; what a user adds is a
set of further names. Replaced values read REDACTED, as in OpenTelemetry's conventions, and `?` in
statements. Text that holds nothing secret costs some tests for a substring.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

from clew.redaction.statements import redact_documents, redact_embedded_sql, redact_sql

REDACTED = "REDACTED"

# A name is secret if its last word ends like this: access_token, clientSecret, X-Amz-Signature.
_SECRET_ENDINGS = (
    *("token", "password", "passwd", "passphrase", "pwd", "secret", "signature", "jwt"),
    *("credential", "credentials", "apikey", "accesskey", "secretkey", "privatekey"),
    *("authorization", "cookie"),
)
_SECRET_WORDS = frozenset({"pass", "sig", "cvv", "cvc", "otp"})
# After these words, "key" is one that opens something.
_KEY_OWNERS = frozenset(
    {
        *("api", "access", "secret", "private", "auth", "signing", "encryption", "account"),
        *("shared", "client", "subscription", "master", "service", "license"),
    }
)
# In queries and paths, "key" and "code" are secret too, but not after these words.
_PLAIN_KEYS = frozenset(
    {
        *("sort", "order", "primary", "partition", "cache", "foreign", "row", "group", "public"),
        *("business", "idempotency", "routing", "translation", "object", "index", "range"),
    }
)
_CODE_OWNERS = frozenset(
    {
        *("auth", "authorization", "access", "verification", "otp", "reset", "invite", "login"),
        *("confirmation", "security", "pin", "device", "user", "activation", "recovery"),
    }
)
# password_policy is no password.
_ABOUT_PASSWORDS = frozenset(
    {
        *("reset", "policy", "length", "changed", "age", "expired", "expires", "at", "count"),
        *("id", "url", "required", "enabled", "strength", "min", "max", "type", "field"),
    }
)
# What stands behind /token or /password in the routes of many services.
_PLAIN_PARTS = frozenset(
    {
        *("blacklist", "callback", "change", "check", "complete", "confirm", "create", "delete"),
        *("done", "edit", "exchange", "forgot", "generate", "introspect", "list", "login"),
        *("logout", "new", "obtain", "refresh", "reset", "revoke", "rotate", "validate", "verify"),
    }
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@lru_cache(maxsize=4096)
def is_secret_name(name: str, further: frozenset[str] = frozenset()) -> bool:
    """Whether a value of this name is secret wherever it stands. `further`: names of the user's, in
    lower case."""
    if name.lower() in further:
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    last = words[-1]
    if last in further or last.endswith(_SECRET_ENDINGS) or last in _SECRET_WORDS:
        return True
    if any(word.endswith(("password", "passwd", "passphrase")) for word in words):
        return last not in _ABOUT_PASSWORDS
    return last == "key" and len(words) > 1 and words[-2] in _KEY_OWNERS


@lru_cache(maxsize=4096)
def is_secret_parameter(name: str, further: frozenset[str] = frozenset()) -> bool:
    """As is_secret_name, for a parameter of a URL's query or a part of its path."""
    if is_secret_name(name, further):
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    owner = words[-2] if len(words) > 1 else ""
    if words[-1] in ("jsessionid", "phpsessid", "sessionid") or words[-2:] == ["session", "id"]:
        return True
    if words[-1] in ("key", "keys"):
        return owner not in _PLAIN_KEYS
    if words[-1] in ("code", "codes"):
        return not owner or owner in _CODE_OWNERS
    if words[-1] in ("auth", "tokens", "secrets", "passwords"):
        return not owner or owner in _KEY_OWNERS
    return False


# --- Queries and paths of URLs. ---

# A value ends where a further parameter begins: of a URL in it, or behind a semicolon.
_PARAMETER_VALUE = r"((?:[^&#?;\s\"<>]|[?;](?![\w.\-\[\]%$~]+=))*)"
_PARAMETER = re.compile(rf"([?&;#])([\w.\-\[\]%$~]+)={_PARAMETER_VALUE}")
_FIRST_PARAMETER = re.compile(rf"(^|[?&;#])([\w.\-\[\]%$~]+)={_PARAMETER_VALUE}")
_ENCODED_PARAMETER = re.compile(
    r"(%3F|%26)((?:[\w.\-]|%5B|%5D)+?)%3D((?:(?!%26)[^&#\s\"<>])*)", re.IGNORECASE
)
_CLOSING = "'),]}."


def _redact_parameter(further: frozenset[str], match: re.Match[str]) -> str:
    separator, name, value = match.groups()
    plain = value.rstrip(_CLOSING)
    if not plain:
        return match[0]
    if is_secret_parameter(name.replace("%5B", "[").replace("%5D", "]"), further):
        return f"{separator}{name}={REDACTED}{value[len(plain) :]}"
    if "%3" in value:  # a URL in a parameter
        value = _ENCODED_PARAMETER.sub(partial(_redact_encoded, further), value)
        return f"{separator}{name}={value}"
    return match[0]


def _redact_encoded(further: frozenset[str], match: re.Match[str]) -> str:
    if is_secret_parameter(match[2], further):
        return f"{match[1]}{match[2]}%3D{REDACTED}"
    return match[0]


def redact_query(text: str, further: frozenset[str] = frozenset()) -> str:
    """A query, with or without the `?`, without the values of secret parameters."""
    return _FIRST_PARAMETER.sub(partial(_redact_parameter, further), text)


def redact_path(path: str, further: frozenset[str] = frozenset()) -> str:
    """A URL's path, without the parts that follow one named like a secret: /reset-password/abc."""
    parts = path.split("/")
    for index in range(1, len(parts)):
        name, part = parts[index - 1], parts[index]
        if part and is_secret_parameter(name, further) and _is_value(part):
            parts[index] = REDACTED
    return "/".join(parts)


def _is_value(part: str) -> bool:
    return part.lower() not in _PLAIN_PARTS and part[0] not in "{<:[*(" and part != REDACTED


_URL_PATH = re.compile(
    r"((?:\b[A-Za-z][\w+.\-]{0,30}://[^\s/?#\"'<>]*)|(?:\b(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\s))"
    r"(/[^\s?#\"'<>]*)"
)
# Elsewhere a path may be a file's: /home/anna/code/app.py. Only what looks random is replaced.
_RANDOM = re.compile(r"(?=[^.]*\d|[^.]{20})[^./]{6,}")
_OTHER_PATH = re.compile(r"(?<![\w:/.\"])/[^\s?#\"'<>]+")


def _redact_url_path(further: frozenset[str], match: re.Match[str]) -> str:
    return f"{match[1]}{redact_path(match[2], further)}"


def _redact_other_path(further: frozenset[str], match: re.Match[str]) -> str:
    path = match[0]
    parts = path.split("/")
    for index in range(2, len(parts)):
        name = parts[index - 1].removesuffix("s")
        if is_secret_name(name, further) and _RANDOM.fullmatch(parts[index]):
            parts[index] = REDACTED
    return "/".join(parts)


def _redact_paths(text: str, further: frozenset[str]) -> str:
    text = _URL_PATH.sub(partial(_redact_url_path, further), text)
    return _OTHER_PATH.sub(partial(_redact_other_path, further), text)


def _redact_queries(text: str, further: frozenset[str]) -> str:
    return _PARAMETER.sub(partial(_redact_parameter, further), text)


# --- Credentials of URLs. ---

_USERINFO = re.compile(r"\b([A-Za-z][\w+.\-]{0,30}://)([^\s/?#\"'<>]*)@")
# A password with a slash: not a valid URL, but written all the same. Not the port of a host.
_LOOSE_USERINFO = re.compile(
    r"\b([A-Za-z][\w+.\-]{0,30}://)([^\s/@:\[\"'<>]*:(?!\d*[/?#\s\"'])[^\s@\"'<>]*)@"
)


def _redact_userinfo(match: re.Match[str]) -> str:
    scheme, userinfo = match.groups()
    if ":" in userinfo:
        return f"{scheme}{REDACTED}:{REDACTED}@"
    return f"{scheme}{REDACTED}@" if scheme.lower().startswith("http") else match[0]


def _redact_credentials(text: str, _further: frozenset[str]) -> str:
    return _LOOSE_USERINFO.sub(_redact_userinfo, _USERINFO.sub(_redact_userinfo, text))


# --- Pairs of a name and a value: password=x, "token": "x", --api-key x, headers. ---

_QUOTED = r"\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?"
_PAIR = re.compile(
    r"(?<![\w.\-?&;#%])([\w.\-]{2,80})"
    r"(\\*[\"']?\s{0,3}[:=]\s{0,3}|\\*[\"'],\s{0,3})"
    r"(b?(?:\\+\"(?:[^\"\\]|\\[^\"])*(?:\\+\")?|" + _QUOTED + r")"
    r"|(?:bearer|basic|token|digest)\s+[^\s,;\"'<>]+|[^\s,;&\"'<>)\]}]+)",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?<!\S)(--?[A-Za-z][\w\-]*)(\s+)(?!-)(\"[^\"]*\"|'[^']*'|\S+)")
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)(?![\"'\s\\]|b[\"'])[^\r\n]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer)\s+[\w.~+/=\-]{8,}", re.IGNORECASE)


# Constants, and where SQL has a parameter.
_NO_VALUE = re.compile(r"None|null|True|False|''|\"\"|\?|\$\d+|%s|%\(\w+|:\w+|@\w+|REDACTED")


def _redact_pair(further: frozenset[str], match: re.Match[str]) -> str:
    name, separator, value = match.groups()
    if not is_secret_name(name, further) or _NO_VALUE.fullmatch(value):
        return match[0]
    opening = re.match(r"b?\\*[\"']", value)
    if opening is None:
        return f"{name}{separator}{REDACTED}"
    quote = opening[0].removeprefix("b")
    closing = quote if len(value) > len(opening[0]) and value.endswith(quote) else ""
    return f"{name}{separator}{opening[0]}{REDACTED}{closing}"


def _redact_option(further: frozenset[str], match: re.Match[str]) -> str:
    if is_secret_name(match[1], further):
        return f"{match[1]}{match[2]}{REDACTED}"
    return match[0]


def _redact_pairs(text: str, further: frozenset[str]) -> str:
    text = _HEADER.sub(rf"\1\2{REDACTED}", text)
    text = _PAIR.sub(partial(_redact_pair, further), text)
    if "-" in text:
        text = _OPTION.sub(partial(_redact_option, further), text)
    return text


# --- Secrets that are known by their form. ---

_JWT = re.compile(r"(?<![\w\-])eyJ[\w\-]{5,}(?:\.[\w\-]*){2,4}")
_AWS_KEY = re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])")
_VENDOR_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[\w\-]{10,}"
    r"|[srp]k_(?:live|test)_\w{10,})"
)
_PEM = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*KEY-----|\Z)", re.DOTALL
)
_CARD = re.compile(
    r"(?<![0-9A-Za-z.+])(?:[3-6]\d{3}([ \-])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ \-])\d{6}\2\d{4,5}"
    r"|2\d{3}([ \-])\d{4}\3\d{4}\3\d{4}|[2-6]\d{12,18})(?![0-9A-Za-z])"
)
# Lengths of card numbers by their first digits.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|35\d{14}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}|(?:50|5[6-8]|6[0-9])\d{14}"
)
_THIRTEEN_DIGITS = re.compile(r"\d[\d \-]{11,}\d")


def is_card_number(digits: str) -> bool:
    """Whether digits, without separators, have an issuer's prefix and length and pass Luhn's
    check."""
    if _ISSUERS.fullmatch(digits) is None:
        return False
    total = 0
    for index, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + index % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _redact_card(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return REDACTED if is_card_number(digits) else match[0]


def _redact_cards(text: str, _further: frozenset[str]) -> str:
    return _CARD.sub(_redact_card, text) if _THIRTEEN_DIGITS.search(text) else text


def _replacing(pattern: re.Pattern[str], replacement: str) -> Callable[[str, frozenset[str]], str]:
    return lambda text, _further: pattern.sub(replacement, text)


def _redact_sql_in(text: str, _further: frozenset[str]) -> str:
    return redact_embedded_sql(text)


class Rule(NamedTuple):
    """A rule is tried on text that holds one of `signs` and, in lower case, one of `hints`."""

    name: str
    signs: tuple[str, ...]
    hints: tuple[str, ...]
    redact: Callable[[str, frozenset[str]], str]


_NAME_HINTS = (
    *("token", "pass", "pwd", "secret", "signature", "sig", "key", "auth", "cookie", "cred"),
    *("jwt", "cvv", "cvc", "otp", "bearer"),
)
_VERBS = ("select", "insert", "update", "delete")
_DATABASE_ERRORS = ("[sql:", "[parameters:", "line 1:", "entry '", "key (")
RULES: tuple[Rule, ...] = (
    Rule("credentials of URLs", ("://",), ("@",), _redact_credentials),
    Rule("query values", ("=",), ("?", "&", ";", "#"), _redact_queries),
    Rule("path parts", ("/",), (*_NAME_HINTS, "code"), _redact_paths),
    Rule("statements", ("'", '"', *"0123456789"), _VERBS, _redact_sql_in),
    Rule("errors of databases", ("[", "(", "'"), _DATABASE_ERRORS, _redact_sql_in),
    Rule("named values", ("=", ":", "--", "'", '"'), _NAME_HINTS, _redact_pairs),
    Rule("bearer tokens", ("earer ",), ("bearer ",), _replacing(_BEARER, rf"\1 {REDACTED}")),
    Rule("JSON web tokens", ("eyJ",), (".",), _replacing(_JWT, REDACTED)),
    Rule("AWS keys", ("AKIA", "ASIA", "ABIA", "ACCA"), ("a",), _replacing(_AWS_KEY, REDACTED)),
    Rule("keys of vendors", ("gh", "xox", "k_"), ("_", "-"), _replacing(_VENDOR_KEY, REDACTED)),
    Rule("private keys", ("KEY-----",), ("-",), _replacing(_PEM, rf"\1{REDACTED}\2")),
    Rule("card numbers", tuple("23456"), tuple("0123456789"), _redact_cards),
)
_SHORTEST_SECRET = 5


def redact_text(text: str, further: frozenset[str] = frozenset()) -> str:
    """The text without secrets; the same object if there are none."""
    if len(text) < _SHORTEST_SECRET:
        return text
    lowered = text.lower()
    result = text
    for _, signs, hints, redact in RULES:
        for sign in signs:
            if sign in text:
                break
        else:
            continue
        for hint in hints:
            if hint in lowered:
                result = redact(result, further)
                break
    if any(name in lowered for name in further):
        result = _redact_pairs(_redact_paths(result, further), further)
    return text if result == text else result


# --- A quick look at bytes. ---

# In lower case, whatever a rule can change holds one of these: a name that may be secret, the mark
# of a secret's form, a verb of SQL, a statement's attribute, digits enough for a card, or a number
# as large as one in protobuf's encoding.
_SCREEN = (
    rb"token|p(?:ass|wd)|s(?:e(?:cret|ss|lect)|ig)|key|a(?:uth|kia|sia|bia|cca)"
    rb"|c(?:ookie|red|v[vc]|ode)|jwt|otp|bearer|insert|update|delete"
    rb"|line 1:|entry '|\[(?:sql|parameters):|db\.(?:query\.text|statement)"
    rb"|://|eyj|gh[pousr]_|xox|k_(?:live|test)|\d[\d -]{11}|\x18[\x80-\xff]{5}"
)


def screen(further: frozenset[str] = frozenset()) -> re.Pattern[bytes]:
    """A pattern for text in UTF-8, in lower case, with the key of its attribute: what it does not
    find in holds no secret. Also for attributes in the encoding of OTLP."""
    names = [re.escape(name.encode()) for name in sorted(further) if name.isascii()]
    if len(names) < len(further):  # bytes have no lower case for other letters
        names.append(rb"[\x80-\xff]")
    return re.compile(b"|".join([_SCREEN, *names]))


# --- Attributes. ---

_PATHS = frozenset({"url.path", "url.full", "http.target", "http.url"})
_QUERIES = frozenset({"url.query"})
_STATEMENTS = frozenset({"db.query.text", "db.statement"})
# A route is the code's own text, and so are places in the code; the agent writes the rest.
_NEVER_SECRET = frozenset(
    {
        *("http.route", "http.request.method", "code.file.path", "code.function.name"),
        *("business.key", "business.transaction", "service.name", "host.name"),
    }
)
_SQL = re.compile(
    r"\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*|\()*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|REPLACE)\b",
    re.IGNORECASE | re.DOTALL,
)
_CACHED_LENGTH = 256
_SMALLEST_CARD = 10**12


def redact_string(
    key: str, value: str, further: frozenset[str] = frozenset(), system: str = ""
) -> str:
    """As redact_value, for a text, and without a cache."""
    if not value or key in _NEVER_SECRET:
        return value
    if is_secret_name(key, further):
        return REDACTED
    if key in _STATEMENTS:
        statement = _redact_statement(value, system)
        # What is left of SQL are names; of other languages, perhaps values.
        return statement if _SQL.match(statement) else redact_text(statement, further)
    if key in _QUERIES:
        value = redact_query(value, further)
    elif key in _PATHS:
        path, mark, query = value.partition("?")
        value = f"{redact_path(path, further)}{mark}{query}"
    return redact_text(value, further)


_redact_short_string = lru_cache(maxsize=8192)(redact_string)


@lru_cache(maxsize=1024)
def _redact_statement(text: str, system: str) -> str:
    return redact_sql(text, system) if _is_sql(text, system) else redact_documents(text)


def _is_sql(text: str, system: str) -> bool:
    return "sql" in system or not text.lstrip().startswith(("{", "["))


def redact_value(
    key: str, value: Any, further: frozenset[str] = frozenset(), system: str = ""
) -> Any:
    """The value of an attribute without secrets; the same object if there are none. `system`: the
    database's, as in db.system.name."""
    if isinstance(value, str):
        is_short = len(value) <= _CACHED_LENGTH
        redact = _redact_short_string if is_short else redact_string
        result = redact(key, value, further, system)
        return value if result == value else result  # an equal text was cached
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if abs(value) < _SMALLEST_CARD:
            is_pin = is_secret_name(key, further) and not key.lower().endswith("token")
            return REDACTED if is_pin else value
        return REDACTED if is_card_number(str(value)) else value
    if isinstance(value, Mapping):
        return redact_attributes(value, further)
    if isinstance(value, bytes):
        return _redact_bytes(key, value, further)
    if isinstance(value, list | tuple):
        return _redact_sequence(key, value, further, system)
    return value


def _redact_bytes(key: str, value: bytes, further: frozenset[str]) -> bytes:
    text = value.decode("utf-8", "surrogateescape")
    result = redact_string(key, text, further, "")
    return value if result == text else result.encode("utf-8", "surrogateescape")


def _redact_sequence(key: str, values: Any, further: frozenset[str], system: str) -> Any:
    results = [redact_value(key, value, further, system) for value in values]
    for index in range(1, len(values)):  # arguments of a command: --password, x
        option = values[index - 1]
        if isinstance(option, str) and option.startswith("-") and isinstance(values[index], str):
            is_secret = "=" not in option and is_secret_name(option, further)
            if is_secret and not values[index].startswith("-"):
                results[index] = REDACTED
    if all(result is value for result, value in zip(results, values, strict=True)):
        return values
    return type(values)(results)


def redact_attributes(
    attributes: Mapping[str, Any], further: frozenset[str] = frozenset()
) -> Mapping[str, Any]:
    """The attributes without secrets; the same object if there are none."""
    system = attributes.get("db.system.name") or attributes.get("db.system") or ""
    changed: dict[str, Any] = {}
    for key, value in attributes.items():
        result = redact_value(key, value, further, str(system))
        if result is not value:
            changed[key] = result
    return {**attributes, **changed} if changed else attributes


def further_names(text: str) -> frozenset[str] | None:
    """What a setting says: `true`, `false`, or further names of what is secret, separated by
    commas. None if nothing is to be redacted."""
    names = frozenset(name for part in text.split(",") if (name := part.strip().lower()))
    return None if names == {"false"} else names - {"true", "false"}


def redact_name(name: str, route: str, further: frozenset[str] = frozenset()) -> str:
    """The name of a span without secrets: its route, where it has one, is the code's own text."""
    if route and route in name:
        return name
    return _redact_short_string("url.path" if " " not in name else "", name, further, "")
