"""Storage's errors; the tree is drawn in the package's docstring."""


class StorageError(Exception):
    """Anything storage refuses or fails at."""


class SettingError(StorageError):
    """A DSN or a setting cannot be used."""


class SchemaError(StorageError):
    """The schema in the database is not one that this clew can bring up to date."""


class InsertError(StorageError):
    """An insert did not report success: what it stored is unknown until it is settled."""


class NestedValues(InsertError):
    """Refused whole, nothing stored: values are to be written out first (collector.values)."""


class Unacceptable(InsertError):
    """The engine cannot make sense of the bytes; the same bytes will be refused again."""


class BackupError(StorageError):
    """A backup that cannot be made, or is not whole."""


class EngineError(StorageError):
    """What the engine says to somebody's statement: its `code`, and its `text` as a server would
    write it behind `Code: N. DB::Exception: `."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}")
        self.code = code
        self.text = text
