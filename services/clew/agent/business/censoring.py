"""Redaction of business context: what is secret is not taken at all. Baggage leaves the process
before anything is exported."""

from __future__ import annotations

import logging
from dataclasses import replace

from clew.agent import copies
from clew.agent.business.rules import Rule, RuleSet, Take
from clew.redaction import redact_text
from clew.redaction.rules import is_secret_name, is_secret_parameter

_log = logging.getLogger(__name__)


def without_secrets(active: RuleSet) -> RuleSet:
    """The rules without those that take something named like a secret, and with a censor for the
    values of the others, as CLEW_REDACT says."""
    redaction = copies.configured()
    if not redaction.is_on:
        return active
    further = redaction.further

    def censor(attribute: str, text: str) -> str | None:
        is_secret = is_secret_name(attribute, further) or redact_text(text, further) != text
        return None if is_secret else text

    rules = tuple(_without_secrets(rule, further) for rule in active.rules)
    return RuleSet(rules, censor)


def _without_secrets(rule: Rule, further: frozenset[str]) -> Rule:
    take = tuple(take for take in rule.take if not _is_secret(take, further))
    for left_out in set(rule.take) - set(take):
        _log.warning(
            "clew: the %s %r of %s is not taken: it is named like a secret",
            *(left_out.part, left_out.name, rule.transaction),
        )
    return replace(rule, take=take)


def _is_secret(take: Take, further: frozenset[str]) -> bool:
    if take.part == "path":
        parts = take.name.partition("{}")[0].rstrip("/").rpartition("/")
        return is_secret_parameter(parts[2], further)
    if take.part == "query":
        return is_secret_parameter(take.name, further)
    return is_secret_name(take.fields[-1] if take.fields else take.name, further)
