"""Log search in every script: what a record says is found by a word of it and by a phrase copied
from it, in either case."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from clew.storage import Store
from clew.storage.migrations import statement
from support.api_client import ApiClient
from support.loading import rows

START, END = "2026-06-01T10:00:00Z", "2026-06-01T10:05:00Z"
BODIES = {
    "chinese": "订单支付失败: 余额不足,请重试。",
    "japanese": "注文が失敗しました。ｻｰﾊﾞｰ エラー",
    "korean": "주문이 실패했습니다",
    "thai": "การชำระเงินล้มเหลว",
    "russian": "Ошибка ОПЛАТЫ заказа, счёт № 7",
    "german": "GRÖSSE überschritten, Straße ÄRGER",
    "greek": "ΠΑΡΑΓΓΕΛΙΑ απορρίφθηκε: λάθος ΟΔΟΣ",
    "turkish": "İstanbul SİPARİŞ iptal; ISPARTA",
    "hindi": "भुगतान विफल हुआ",
    "arabic": "فشل الدفع",
    "dash": "payment—declined by issuer – retry",
    "quotes": "user “alice” isn’t allowed",
    "spaces": "total\u00a0amount 42\u202f000\u2009EUR",
    "decomposed": unicodedata.normalize("NFD", "naïve café closed"),
    "composed": "CAFÉ opened",
    "width": "ＥＲＲＯＲ code ５０３",
    "emoji": "deploy 🚀 done",
    "soft": "multi\u00adpart\u200b upload",
    "ascii": 'GET /users/7?x=a_b "quoted" 404 - E_TIMEOUT',
}
# A query, and the records that it finds.
FOUND: dict[str, set[str]] = {
    "失败": {"chinese"},
    "支付失败": {"chinese"},
    "支付 余额": {"chinese"},
    "付支": set(),
    "失败失败": set(),
    "失败。": {"chinese"},
    '"余额不足,请"': {"chinese"},
    "-支付 订单": set(),
    "-付支 订单": {"chinese"},
    "失敗": {"japanese"},
    "注文": {"japanese"},
    "しました": {"japanese"},
    "サーバー": {"japanese"},
    "주문": {"korean"},
    "실패": {"korean"},
    "ชำระเงิน": {"thai"},
    "ошибка": {"russian"},
    "ОШИБКА": {"russian"},
    "Оплаты": {"russian"},
    "счет": {"russian"},
    "ошиб": set(),
    '"ошибка оплаты"': {"russian"},
    '"оплаты ошибка"': set(),
    "größe": {"german"},
    "Überschritten": {"german"},
    "ärger": {"german"},
    "STRASSE": {"german"},
    "παραγγελία": {"greek"},
    "ΑΠΟΡΡΊΦΘΗΚΕ": {"greek"},
    "οδός": {"greek"},
    "istanbul": {"turkish"},
    "sipariş": {"turkish"},
    "SİPARİŞ": {"turkish"},
    "ısparta": {"turkish"},
    "isparta": {"turkish"},
    "विफल": {"hindi"},
    "الدفع": {"arabic"},
    "declined": {"dash"},
    "payment—declined": {"dash"},
    '"payment—declined"': {"dash"},
    '"payment-declined by"': {"dash"},
    '"issuer – retry"': {"dash"},
    "alice": {"quotes"},
    "“alice”": {"quotes"},
    '"user “alice” isn’t"': {"quotes"},
    '"isn\'t allowed"': {"quotes"},
    "-isn’t user": set(),
    "amount": {"spaces"},
    '"total\u00a0amount 42"': {"spaces"},
    '"total amount 42 000 EUR"': {"spaces"},
    "café": {"decomposed", "composed"},
    "CAFE\u0301": {"decomposed", "composed"},
    '"naïve café"': {"decomposed"},
    "error 503": {"width"},
    "🚀": {"emoji"},
    '"deploy 🚀 done"': {"emoji"},
    '"deploy 🔥 done"': set(),
    "multipart": {"soft"},
    "timeout": {"ascii"},
    "-e_timeout users": set(),
    "-e_time users": {"ascii"},
    "a_b": {"ascii"},
    '"/users/7?x=a_b"': {"ascii"},
}
INSERT = """
INSERT INTO otel.otel_logs (Timestamp, ServiceName, Body)
SELECT toDateTime64('2026-06-01 10:00:01', 9), record.1, record.2
FROM (SELECT arrayJoin({records:Array(Tuple(String, String))}) AS record)
"""


def insert(store: Store, bodies: dict[str, str] = BODIES) -> None:
    """As another writer does."""
    with store.client() as client:
        client.command(INSERT, parameters={"records": list(bodies.items())})


def search(store: Store, query: str) -> set[str]:
    answer = ApiClient(store).get("/api/v1/logs", query=query, start=START, end=END, limit=1000)
    return {log["service"] for log in answer["logs"]}


@pytest.fixture(scope="module")
def filled(emptied: Callable[[], Store]) -> Store:
    store = emptied()
    insert(store)
    return store


@pytest.mark.parametrize(("query", "services"), FOUND.items())
def test_a_query_finds_records_in_every_script(
    filled: Store, query: str, services: set[str]
) -> None:
    assert search(filled, query) == services


# In lower case, slow: 80 ms of CPU each. Where both cases are not one to one it stays.
@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(
            name,
            change,
            id=f"{change.__name__}-{name}",
            marks=[pytest.mark.slow]
            if change is str.lower and name not in ("german", "greek", "turkish")
            else [],
        )
        for change in (str, str.upper, str.lower)
        for name in BODIES
    ],
)
def test_a_body_is_found_by_all_of_it(filled: Store, name: str, change: Any) -> None:
    text = change(BODIES[name]).replace('"', " ")
    assert name in search(filled, text.replace(" -", " "))
    if name != "ascii":
        assert search(filled, f'"{text}"') == {name}


def test_the_functions_serve_statements_of_users(filled: Store) -> None:
    for words, services in FOUND.items():
        if not set(words) & {'"', "-"}:
            with filled.client() as client:
                answer = client.query(
                    "SELECT ServiceName FROM otel.otel_logs WHERE clew_has_words(Body, {words:String})",
                    parameters={"words": words},
                )
            assert {name for (name,) in answer.result_rows} == services, words


def test_records_without_the_index_are_found(store: Store) -> None:
    """Parts from before the index exists, or from before it is materialized."""
    (index,) = rows(
        store,
        "SELECT expr FROM system.data_skipping_indices "
        "WHERE table = 'otel_logs' AND name = 'idx_search_text'",
    )
    table = store.cluster.local_table("otel_logs")
    with store.client() as client:
        client.command(f"ALTER TABLE {table} DROP INDEX idx_search_text")
        insert(store, {f"older {name}": body for name, body in BODIES.items()})
        client.command(
            f"ALTER TABLE {table} ADD INDEX idx_search_text {index['expr']} "
            "TYPE text(tokenizer = 'splitByNonAlpha')"
        )
    insert(store)
    some = dict(list(FOUND.items())[::4])
    for query, services in some.items():
        assert search(store, query) == services | {f"older {name}" for name in services}, query
    with store.client() as client:
        materialize = statement("otel_logs_search_text_made").replace("otel.otel_logs", table)
        client.command(f"{materialize} SETTINGS mutations_sync = 2")
    for query, services in some.items():
        assert search(store, query) == services | {f"older {name}" for name in services}, query


def test_the_index_answers_the_search(store: Store) -> None:
    """The expression in it is that of the function: otherwise each search would read all bodies."""
    insert(store, {str(number): f"request {number} из многих" for number in range(1000)})
    with store.client() as client:
        plan = client.query(
            "EXPLAIN indexes = 1 SELECT ServiceName FROM otel.otel_logs "
            "WHERE clew_has_words(Body, 'Никогда')"
        ).result_rows
    text = "\n".join(line for (line,) in plan)
    assert "idx_search_text" in text
    assert "Granules: 0/" in text


def test_bodies_that_are_no_text_are_stored(store: Store) -> None:
    """Other writers may send any bytes."""
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_logs (Timestamp, ServiceName, Body) "
            "SELECT toDateTime64('2026-06-01 10:00:01', 9), 'odd', "
            "concat(randomString(number % 60), ' żółw ', unhex('c3ff80ed a080'), '\\0') FROM numbers(2000)"
        )
        client.command("INSERT INTO otel.otel_logs (ServiceName, Body) VALUES ('odd', 'ł\\0\\n')")
    assert rows(store, "SELECT count() AS n FROM otel.otel_logs") == [{"n": 2001}]
    assert search(store, "żółw") == {"odd"}
