"""The errors of storage. The docstring of clew.storage shows them as a tree."""

from enum import IntEnum


class StorageError(Exception):
    """The base of all errors of storage."""


class SettingError(StorageError):
    """A DSN or a setting cannot be used."""


class SchemaError(StorageError):
    """This clew cannot bring the schema of the database up to date."""


class InsertError(StorageError):
    """An insert did not report success: what it stored is unknown until the segment is reloaded."""


class NestedValues(InsertError):
    """The insert was refused and nothing is stored. Rewrite the segment's nested values first
    (clew.collector.values)."""


class Unacceptable(InsertError):
    """The engine cannot parse the segment's bytes, and would refuse them again."""


class BackupError(StorageError):
    """A backup cannot be written, or is not complete."""


class ErrorCode(IntEnum):
    """ClickHouse's codes of the errors that clew itself returns."""

    NO_SUCH_COLUMN_IN_TABLE = 16
    CANNOT_PARSE_INPUT_ASSERTION_FAILED = 27
    BAD_ARGUMENTS = 36
    CHECKSUM_DOESNT_MATCH = 40
    NOT_IMPLEMENTED = 48
    SYNTAX_ERROR = 62
    UNKNOWN_FORMAT = 73
    UNKNOWN_COMPRESSION_METHOD = 89
    UNKNOWN_SETTING = 115
    READONLY = 164
    REQUIRED_PASSWORD = 194
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    NETWORK_ERROR = 210
    QUERY_IS_TOO_LARGE = 229
    NOT_ENOUGH_SPACE = 243
    CANNOT_DECOMPRESS = 271
    QUERY_WAS_CANCELLED = 394
    SETTING_CONSTRAINT_VIOLATION = 452
    ACCESS_DENIED = 497
    AUTHENTICATION_FAILED = 516
    UNKNOWN_EXCEPTION = 1002


class EngineError(StorageError):
    """A client's SQL failed. `code` is ClickHouse's error code, `text` is the message as a server
    writes it after `Code: N. DB::Exception: `, with the error's name in parentheses at its end."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}")
        self.code = code
        self.text = text


def refusal(code: ErrorCode, message: str) -> EngineError:
    """The error for SQL that clew refuses itself, in the form in which a server writes it."""
    return EngineError(code, f"{message} ({code.name})")
