"""Storage: the tables, the SQL, and the one client that reaches them.

Everything above (collector, analysis, api) stands on this package; it knows nobody above it.

    Store         the database behind a DSN: embedded (chDB) or a ClickHouse server
    migrate       bring the schema up to date
    move          copy an embedded database to a server
    Ingest        put a segment of OTLP bytes into the tables, exactly once
    Reader        run the named queries below queries/, within limits
    Sessions      run clients' SQL in the embedded engine, under a role and resource limits

Errors, all under StorageError:

    StorageError
    ├── SettingError        the DSN or a setting cannot be used; says what to write instead
    ├── SchemaError         a migration was edited after it ran, or the database is newer than clew
    ├── FilterError         an attribute filter that cannot be read
    ├── LimitExceeded       a query took more time, rows or memory than a read may
    ├── Cancelled           the client of a read has disconnected
    ├── EngineError         a client's SQL failed or was refused, with ClickHouse's error code
    ├── BackupError         a backup cannot be made, or is not whole
    └── InsertError         an insert did not report success
        ├── NestedValues    nothing was stored: the segment holds values that SQL has no form for
        └── Unacceptable    the engine cannot make sense of the segment's bytes
"""

from clew.storage.cluster import Cluster
from clew.storage.engine_paths import check_segment_directory
from clew.storage.errors import (
    BackupError,
    EngineError,
    ErrorCode,
    InsertError,
    NestedValues,
    SchemaError,
    SettingError,
    StorageError,
    Unacceptable,
    refusal,
)
from clew.storage.filters import (
    ENTRY_FILTER,
    TRACES_IN_OCCURRENCES,
    TRACES_WITH_ENTRY,
    AttributeFilter,
    FilterError,
    attribute_filters,
    span_filters,
    traces_with_span,
    traces_without_span,
)
from clew.storage.ingest import SIGNALS, Ingest, Signal, StoredItems
from clew.storage.ledger import LedgerRow
from clew.storage.migrations import Migration, migrate
from clew.storage.moving import MovedTable, move
from clew.storage.reader import Cancelled, Forms, LimitExceeded, Limits, Reader, Reading
from clew.storage.retention import Guard, Limit, default_limit, make_room, set_retention
from clew.storage.rights import DESCRIBE, PEER, READ, WRITE
from clew.storage.session import Insert, Session, Summary
from clew.storage.sessions import Sessions
from clew.storage.sql import Query, RowT
from clew.storage.store import Store

__all__ = [
    "DESCRIBE",
    "ENTRY_FILTER",
    "PEER",
    "READ",
    "SIGNALS",
    "TRACES_IN_OCCURRENCES",
    "TRACES_WITH_ENTRY",
    "WRITE",
    "AttributeFilter",
    "BackupError",
    "Cancelled",
    "Cluster",
    "EngineError",
    "ErrorCode",
    "FilterError",
    "Forms",
    "Guard",
    "Ingest",
    "Insert",
    "InsertError",
    "LedgerRow",
    "Limit",
    "LimitExceeded",
    "Limits",
    "Migration",
    "MovedTable",
    "NestedValues",
    "Query",
    "Reader",
    "Reading",
    "RowT",
    "SchemaError",
    "Session",
    "Sessions",
    "SettingError",
    "Signal",
    "StorageError",
    "Store",
    "StoredItems",
    "Summary",
    "Unacceptable",
    "attribute_filters",
    "check_segment_directory",
    "default_limit",
    "make_room",
    "migrate",
    "move",
    "refusal",
    "set_retention",
    "span_filters",
    "traces_with_span",
    "traces_without_span",
]
