"""Writes the part of docs/findings.md that the rules say: python docs/write_findings.py."""

from __future__ import annotations

from pathlib import Path

from clew.analysis.findings.rule import Rule
from clew.analysis.findings.rules import all_rules

PAGE = Path(__file__).parent / "findings.md"
MARK = "<!-- written by docs/write_findings.py: what the rules say -->\n"


def rules_text() -> str:
    """The rules in the order of their titles."""
    return "\n".join(map(_section, sorted(all_rules(), key=lambda rule: rule.title)))


def _section(rule: Rule) -> str:
    limits = "".join(f"| {name} | {value} |\n" for name, value in rule.thresholds.items())
    time = "" if rule.saves_time else "\nIt need not save time to be opened.\n"
    return (
        f"### {rule.title}\n\n`{rule.name}`: {rule.meaning}\n\n"
        f"| threshold | |\n|-|-|\n{limits}{time}\n"
        f"**When it is wrong.** {rule.wrong_when}\n\n**The mend.** {rule.mend}\n"
    )


def page() -> str:
    """The whole page, with the rules as they are now."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark, f"{PAGE} has no line {MARK!r}"
    return head + mark + "\n" + rules_text()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
