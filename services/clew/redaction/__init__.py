"""What is secret in telemetry, and what replaces it: for the agent and for the collector.

    rules       secrets in text, attributes and names, by their name or their form
    statements  literals of SQL and of other statements

Imports nothing of clew, and nothing but the standard library.
"""

from clew.redaction.rules import (
    REDACTED,
    further_names,
    redact_attributes,
    redact_name,
    redact_string,
    redact_text,
    redact_value,
    screen,
)

__all__ = [
    "REDACTED",
    "further_names",
    "redact_attributes",
    "redact_name",
    "redact_string",
    "redact_text",
    "redact_value",
    "screen",
]
