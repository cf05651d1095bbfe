"""What is secret in text and attributes, what replaces it, and what is left as it is."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan

from clew.agent.copies import Redaction
from clew.redaction.rules import (
    RULES,
    further_names,
    is_card_number,
    is_secret_name,
    is_secret_parameter,
    redact_attributes,
    redact_name,
    redact_text,
    screen,
)
from clew.redaction.statements import redact_documents, redact_sql

R = "REDACTED"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("GET /items?token=abc&page=2", f"GET /items?token={R}&page=2"),
        ("http://host/?X-Amz-Signature=abc#top", f"http://host/?X-Amz-Signature={R}#top"),
        ("fetched 'https://host/?key=abc', then", f"fetched 'https://host/?key={R}', then"),
        ("/cb?code=abc&state=1&error_code=7", f"/cb?code={R}&state=1&error_code=7"),
        ("/?next=https%3A%2F%2Fa%3Fpassword%3Dabc", f"/?next=https%3A%2F%2Fa%3Fpassword%3D{R}"),
        ("/app;jsessionid=abc?page=2", f"/app;jsessionid={R}?page=2"),
        ("/?next=/a?token=abc&page=2", f"/?next=/a?token={R}&page=2"),
        ("/?page=2;token=abc", f"/?page=2;token={R}"),
        ("/app;jsessionid=abc?token=abc", f"/app;jsessionid={R}?token={R}"),
        ("/app#access_token=abc&expires_in=3600", f"/app#access_token={R}&expires_in=3600"),
        ("/?user[password]=abc&user[name]=anna", f"/?user[password]={R}&user[name]=anna"),
        ("POST /reset-password/abc", f"POST /reset-password/{R}"),
        ("https://host/v1/keys/abc/usage", f"https://host/v1/keys/{R}/usage"),
        ("Not Found: /invite-token/a1b2c3d4e5", f"Not Found: /invite-token/{R}"),
        ("postgresql://anna:abc@db:5432/shop", f"postgresql://{R}:{R}@db:5432/shop"),
        ("redis://:abc@cache/0", f"redis://{R}:{R}@cache/0"),
        ("amqp://anna:a/b#c@queue", f"amqp://{R}:{R}@queue"),
        ("https://ghp@github.com/a/b", f"https://{R}@github.com/a/b"),
        ("host=db password=abc user=anna", f"host=db password={R} user=anna"),
        ("{'user': 'anna', 'password': 'it\\'s'}", f"{{'user': 'anna', 'password': '{R}'}}"),
        ('{"apiKey": "abc", "page": 2}', f'{{"apiKey": "{R}", "page": 2}}'),
        ('"{\\"client_secret\\": \\"abc\\"}"', f'"{{\\"client_secret\\": \\"{R}\\"}}"'),
        ("worker --db-password abc --port 3", f"worker --db-password {R} --port 3"),
        ("Authorization: Basic YTpi, next", f"Authorization: {R}"),
        ("[(b'cookie', b'a=b; c=d'), (b'x', b'y')]", f"[(b'cookie', b'{R}'), (b'x', b'y')]"),
        ("Set-Cookie: a=b; Path=/\nAccept: */*", f"Set-Cookie: {R}\nAccept: */*"),
        ("sent Bearer abcdefgh.123", f"sent Bearer {R}"),
        (f"session {JWT}.", f"session {R}"),
        ("as AKIAIOSFODNN7EXAMPLE, denied", f"as {R}, denied"),
        ("card 4111 1111 1111 1111.", f"card {R}."),
        ("3782-822463-10005 or 5555555555554444", f"{R} or {R}"),
        ("-----BEGIN PRIVATE KEY-----\nab\n", f"-----BEGIN PRIVATE KEY-----{R}"),
        ("(0.001) SELECT a FROM b WHERE c = 'x'", "(0.001) SELECT a FROM b WHERE c = ?"),
        ("update users set name = 'anna'", "update users set name = ?"),
        ("Key (email)=(a@b.c) already exists.", "Key (email)=(?) already exists."),
        ("Duplicate entry 'anna' for key 'name'", "Duplicate entry ? for key 'name'"),
        (
            "failed\n[SQL: INSERT INTO a VALUES ('x')]\n[parameters: ('anna',)]",
            "failed\n[SQL: INSERT INTO a VALUES (?)]\n[parameters: ?]",
        ),
    ],
)
def test_secrets_in_text_are_replaced(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted
    assert redact_text(redacted) == redacted
    assert screen().search(text.lower().encode())


@pytest.mark.parametrize(
    "text",
    [
        "GET /orders/7?page=2&sort_key=price&zipcode=10115&country_code=DE",
        "http://host:8000/path?email=anna@example.com",
        "ssh://git@github.com/a/b",
        'File "/home/anna/code/app/main.py", line 3',
        "/usr/lib/python3/secrets.py",
        "GET /oauth/token/{token}",
        "POST /password/reset",
        "exit code=1, key=42, max_tokens=5, monkey=3",
        "order 1234567890123456 at 1700000000000000000",
        "4111111111111112 and 0.4111111111111111",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "call +4915112345678",
        "SELECT a FROM b WHERE token = $1 AND password = %(password)s",
        "please select an entry from the list",
        "Invalid password for user anna",
        "",
    ],
)
def test_other_text_is_the_same_object(text: str) -> None:
    assert redact_text(text) is text


@pytest.mark.parametrize(
    "name",
    [
        *("password", "DB_PASSWORD", "new_password1", "passwordConfirm", "accesstoken", "sig"),
        *("x-api-key", "clientSecret", "aws_secret_access_key", "AWSAccessKey", "refresh_token"),
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)
    assert is_secret_parameter(name)
    assert screen().search(name.lower().encode())


@pytest.mark.parametrize(
    "name",
    [
        *("monkey", "keyword", "max_tokens", "http.response.status_code", "sort_key", "design"),
        *("password_policy", "passenger", "secretary", "tokenizer", "compass", ""),
    ],
)
def test_names_that_only_sound_secret(name: str) -> None:
    assert not is_secret_name(name)
    assert not is_secret_parameter(name)


def test_names_that_are_secret_in_a_url_alone() -> None:
    for name in ("key", "code", "auth"):
        assert is_secret_parameter(name)
        assert not is_secret_name(name)
        assert screen().search(name.encode())


def test_card_numbers_have_an_issuer_and_pass_luhns_check() -> None:
    assert is_card_number("4242424242424242")
    assert is_card_number("30569309025904")
    assert not is_card_number("4242424242424241")
    assert not is_card_number("9999999999999995")


@pytest.mark.parametrize(
    ("system", "statement", "redacted"),
    [
        ("postgresql", "SELECT a1 FROM t WHERE b = 'it''s'", "SELECT a1 FROM t WHERE b = ?"),
        ("postgresql", "SELECT 'C:\\', 'abc', $1", "SELECT ?, ?, $1"),
        ("postgresql", "SELECT E'a\\'b', $$it's$$, $x$ ' $x$", "SELECT ?, ?, ?"),
        ("postgresql", 'SELECT "name 1" FROM t LIMIT 10', 'SELECT "name 1" FROM t LIMIT ?'),
        ("mysql", "SELECT 'it\\'s', \"abc\", `n 1`", "SELECT ?, ?, `n 1`"),
        ("", "SELECT 'it\\'s', abc", "SELECT ?"),
        ("neo4j", 'MATCH (n {name: "anna"}) RETURN n', "MATCH (n {name: ?}) RETURN n"),
        ("cassandra", 'SELECT "a b" FROM t', 'SELECT "a b" FROM t'),
        ("sqlite", "SELECT 0x1F, 1.5e3, .5 -- it's", "SELECT ?, ?, ? -- it's"),
        ("sqlite", "SELECT /* 'abc' */ ?1, :name, @p2", "SELECT /* ? */ ?1, :name, @p2"),
        ("oracle.db", "SELECT q'[it's]', N'abc'", "SELECT ?, ?"),
        (
            "microsoft.sql_server",
            "SELECT [col 1] FROM t WHERE a=7",
            "SELECT [col 1] FROM t WHERE a=?",
        ),
        ("postgresql", "INSERT INTO t VALUES (%(a)s, 'cut of", "INSERT INTO t VALUES (%(a)s, ?"),
        ("postgresql", "SELECT TRUE, NULL, date '2020-01-01'", "SELECT TRUE, NULL, date ?"),
    ],
)
def test_a_statement_is_kept_without_its_literals(
    system: str, statement: str, redacted: str
) -> None:
    assert redact_sql(statement, system) == redacted


def test_documents_keep_their_names() -> None:
    statement = '{"name": "anna", "age": {"$gt": 5}, "in": ["a", 1]}'
    assert redact_documents(statement) == '{"name": ?, "age": {"$gt": ?}, "in": [?, ?]}'


def test_attributes_are_redacted_by_name_and_by_what_they_hold() -> None:
    attributes: dict[str, Any] = {
        "http.request.header.authorization": ("Bearer abc",),
        "http.response.header.set_cookie": ["a=b"],
        "password": 1234,
        "card": 4242424242424242,
        "process.command_args": ("worker", "--token", "abc", "--port", "3"),
        "nested": {"secret": "abc", "page": 2},
        "raw": b"password=abc",
        "url.query": "token=abc&page=2",
        "url.path": "/reset-token/abc",
        "db.system.name": "postgresql",
        "db.query.text": "SELECT 'abc'",
    }
    assert redact_attributes(attributes) == {
        "http.request.header.authorization": (R,),
        "http.response.header.set_cookie": [R],
        "password": R,
        "card": R,
        "process.command_args": ("worker", "--token", R, "--port", "3"),
        "nested": {"secret": R, "page": 2},
        "raw": f"password={R}".encode(),
        "url.query": f"token={R}&page=2",
        "url.path": f"/reset-token/{R}",
        "db.system.name": "postgresql",
        "db.query.text": "SELECT ?",
    }
    assert attributes["password"] == 1234


def test_columns_that_are_named_like_secrets_stay_in_a_statement() -> None:
    statement = "SELECT u.id FROM u JOIN k ON u.token = k.token WHERE u.password = 'abc'"
    attributes = {"db.system.name": "postgresql", "db.query.text": statement}
    redacted = redact_attributes(attributes)["db.query.text"]
    assert redacted == statement.replace("'abc'", "?")


def test_attributes_without_secrets_are_the_same_object() -> None:
    attributes = {
        "business.key": "42",
        "code.function.name": "token",
        "gen_ai.usage.input_tokens": 17,
        "http.route": "/token/{token}/key/main",
        "time_to_first_token": 0.25,
        "parts": ["a", 1, True, None],
    }
    assert redact_attributes(attributes) is attributes
    equal = {"text": "".join(["one of ", "some texts"])}
    assert redact_attributes({"text": "one of some texts"})
    assert redact_attributes(equal) is equal


def test_a_route_in_a_name_is_kept() -> None:
    assert redact_name("GET /token/main", "/token/main") == "GET /token/main"
    assert redact_name("GET /token/main", "") == f"GET /token/{R}"


def test_further_names_count_as_secret() -> None:
    further = frozenset({"iban"})
    assert redact_text("customer_iban=DE12 page=2", further) == f"customer_iban={R} page=2"
    assert redact_text("/pay?iban=DE12", further) == f"/pay?iban={R}"
    assert redact_attributes({"iban": "DE12"}, further) == {"iban": R}
    assert screen(further).search(b"iban")
    assert screen(frozenset({"größe"})).search("GRÖßE".encode().lower())
    assert not screen(further).search(b"order_id=7")


def test_a_setting_says_whether_and_which_names() -> None:
    assert further_names("False") is None
    assert further_names("true") == frozenset()
    assert further_names(" iban, Nickname,") == {"iban", "nickname"}


def test_each_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_copy_of_a_span_keeps_what_was_dropped_and_the_original_is_as_it_was() -> None:
    attributes = BoundedAttributes(2, {"a": 1, "b": 2, "token": "abc"})
    event = Event("failed", {"token": "abc"}, 5)
    span = ReadableSpan("work", attributes=attributes, events=[event], start_time=1, end_time=2)
    (redacted,) = Redaction().spans([span])
    assert dict(redacted.attributes) == {"b": 2, "token": R}
    assert redacted.dropped_attributes == span.dropped_attributes == 1
    assert redacted.events[0].attributes == {"token": R}
    assert (redacted.events[0].timestamp, redacted.end_time) == (5, 2)
    assert dict(span.attributes or {})["token"] == "abc"


def test_what_cannot_be_looked_through_is_left_out() -> None:
    plain = ReadableSpan("work")
    assert Redaction().spans([object(), plain]) == [plain]


@pytest.mark.parametrize(
    "piece", ["SELECT 1 ", "[SQL: ", "Key (", "a.", "://", "token='", "?a=", "?a=;", "1-"]
)
def test_long_text_ends(piece: str) -> None:
    """A pattern that backtracks over the whole text would take minutes."""
    redact_text(piece * 100_000)
    redact_sql(piece * 100_000)
