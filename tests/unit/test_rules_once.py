"""Each rule of the domain stands in one SQL function; where it is written out, all copies agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STORAGE, ANALYSIS = ROOT / "storage/clew/storage", ROOT / "services/clew/analysis"
FILES = [
    *STORAGE.rglob("*.sql"),
    *ANALYSIS.rglob("*.sql"),
    STORAGE / "filters.py",
    *(ROOT / "dashboards").glob("*.py"),
    *(ROOT / "dashboards/boards").glob("*.py"),
]
TEXTS = {path.name: re.sub(r"^\s*--.*", "", path.read_text(), flags=re.M) for path in FILES}
# What a rule looks like written out, and the files in which it stands.
RULES = {
    "is an error": (r"'STATUS_CODE_ERROR'", ["0140_fn_is_error"]),
    "kinds": (
        r"'SPAN_KIND_",
        ["0141_fn_is_entry_kind", "0142_fn_kind_name", "calls", "settle_spans"],
    ),
    "entry key": (
        r"\b46116860184273879\d\d\b",
        [
            *("0144_fn_entry_key", "0145_fn_entry_start", "0146_fn_is_rootless"),
            "0147_fn_rootless_key",
        ],
    ),
    "Apdex": (r"\b(500000000|2000000000)\b", ["0149_fn_is_satisfied", "0150_fn_is_tolerating"]),
    "waiting for a root": (r"now64\(9\) - ", ["0151_fn_root_is_overdue"]),
    "burn windows": (r"\b(21600|259200)\b", ["0153_fn_burn_windows"]),
    "burn rate": (r"1 - (\w+\.)?objective\b", ["0154_fn_burn_rate"]),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_stands_in_its_function_alone(rule: str) -> None:
    pattern, places = RULES[rule]
    found = sorted(Path(name).stem for name, text in TEXTS.items() if re.search(pattern, text))
    assert found == places


def test_a_list_of_kinds_or_codes_has_each_in_both_spellings() -> None:
    lists = re.findall(r"(?i)\b(?:span_?kind|status_?code) IN \((.*?)\)", "".join(TEXTS.values()))
    assert len(lists) > 5
    for values in lists:
        names = re.findall(r"'(\w+)'", values)
        older = {
            re.sub("SPAN_KIND_|STATUS_CODE_", "", name) for name in names if name == name.upper()
        }
        assert {name.upper() for name in names if name != name.upper()} == older, values


def test_traces_without_a_root_are_selected_alike_in_every_query() -> None:
    pattern = re.compile(
        r"SELECT TraceId FROM otel\.clew_traces\s+WHERE ({rootless:Bool} AND )?TraceId IN \("
        r"\s+SELECT TraceId [^;]*?clew_root_is_overdue\(max\(End\)\)\)"
    )
    selections = [
        re.sub(r"\s+|{rootless:Bool} AND ", " ", found[0])
        for name, text in TEXTS.items()
        if name.endswith(".sql")
        for found in pattern.finditer(text)
    ]
    assert len(selections) == "".join(TEXTS.values()).count("clew_root_is_overdue(max(End))") - 1
    assert len({" ".join(selection.split()) for selection in selections}) == 1


def test_a_service_has_the_same_number_of_names_of_its_own_in_every_query() -> None:
    numbers = re.findall(
        r"OFFSET (\d+) BY ServiceName|HAVING (?:names|count\(\)) > (\d+)|, 1, (\d+)\)\.3 AS names",
        "".join(TEXTS.values()),
    )
    assert ["".join(groups) for groups in numbers] == ["200"] * 4


def test_the_list_counts_root_spans_alike_with_and_without_traces_that_lack_theirs() -> None:
    """Written twice: a common table expression for both would take 2 ms more to plan."""
    rooted, whole = (
        TEXTS[f"counted_{form}.sql"].partition(", counted AS")[2].strip(" \n()")
        for form in ("rooted", "all")
    )
    assert len(rooted) > 1000
    assert whole.startswith(rooted)
