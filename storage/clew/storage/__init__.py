"""Storage: the tables, the SQL, and the only client of the database.

The collector, the analysis and the API are built on this package, which imports none of them.

    Store         the database behind a DSN: embedded (chDB) or a ClickHouse server
    migrate       bring the schema up to date
    move          copy an embedded database to a server
    Ingest        insert a segment of OTLP bytes into the tables, exactly once
    Reader        run the named queries of queries/ within limits
    Statements    run named queries in background threads
    Sessions      run clients' SQL in the embedded engine, under a role and resource limits

Errors, all under StorageError:

    StorageError
    ├── SettingError        a DSN or a setting cannot be used; the message says what to write
    ├── SchemaError         a migration was edited after it ran, or the database is newer than clew
    ├── FilterError         an attribute filter cannot be parsed
    ├── ExpressionError     a filter of Jaeger's API is not well formed
    ├── UnsupportedExpression  such a filter is about something that is not stored
    ├── LimitExceeded       a query exceeded a limit of time, rows or memory
    │   └── TooManyRows     it would read too many rows, and has read none
    ├── Cancelled           the client of a read has disconnected
    ├── EngineError         a client's SQL failed or was refused, with ClickHouse's error code
    ├── BackupError         a backup cannot be written, or is not complete
    └── InsertError         an insert did not report success
        ├── NestedValues    nothing is stored: the segment has nested values, which are rewritten
        └── Unacceptable    the engine cannot parse the segment's bytes
"""

from clew.storage.attributes import AttributeFilter, FilterError
from clew.storage.carriers import (
    CALL,
    ENTRIES_TAKING,
    FAILED_CALL,
    IN_WINDOW,
    IS_GOOD,
    LAST_STEP,
    OF_A_TRACE,
    OF_SEVERAL_TRACES,
    OPERATION,
    REACHED,
    SETTLED,
    SETTLED_OF_SEVERAL_TRACES,
    SETTLED_OTHER,
    TRACES_TAKING,
    occurrences_that_carry,
    occurrences_with_span,
    occurrences_without_span,
    settled_traces_with,
    traces_with_exception,
)
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
from clew.storage.expressions import (
    ExpressionError,
    SpanExpression,
    UnsupportedExpression,
    span_expression,
)
from clew.storage.filters import (
    ENTRY_FILTER,
    LONG_TRACES,
    SHORT_TRACES,
    TRACES_IN_OCCURRENCES,
    TRACES_WITH_ENTRY,
    BodyTerm,
    attribute_filters,
    body_filters,
    span_filters,
    spans_with_tags,
    traces_with_span,
    traces_without_span,
)
from clew.storage.ingest import SIGNALS, Ingest, Signal, StoredItems
from clew.storage.ledger import LedgerRow
from clew.storage.migrations import Migration, migrate
from clew.storage.moving import MovedTable, move
from clew.storage.reader import (
    Cancelled,
    Forms,
    LimitExceeded,
    Limits,
    Reader,
    Reading,
    TooManyRows,
)
from clew.storage.retention import Guard, Limit, default_limit, make_room, set_retention
from clew.storage.rights import DESCRIBE, PEER, READ, WRITE
from clew.storage.session import Insert, Session, Summary
from clew.storage.sessions import Sessions
from clew.storage.sql import Query, RowT
from clew.storage.store import Store

__all__ = [
    "CALL",
    "DESCRIBE",
    "ENTRIES_TAKING",
    "ENTRY_FILTER",
    "FAILED_CALL",
    "IN_WINDOW",
    "IS_GOOD",
    "LAST_STEP",
    "LONG_TRACES",
    "OF_A_TRACE",
    "OF_SEVERAL_TRACES",
    "OPERATION",
    "PEER",
    "REACHED",
    "READ",
    "SETTLED",
    "SETTLED_OF_SEVERAL_TRACES",
    "SETTLED_OTHER",
    "SHORT_TRACES",
    "SIGNALS",
    "TRACES_IN_OCCURRENCES",
    "TRACES_TAKING",
    "TRACES_WITH_ENTRY",
    "WRITE",
    "AttributeFilter",
    "BackupError",
    "BodyTerm",
    "Cancelled",
    "Cluster",
    "EngineError",
    "ErrorCode",
    "ExpressionError",
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
    "SpanExpression",
    "StorageError",
    "Store",
    "StoredItems",
    "Summary",
    "TooManyRows",
    "Unacceptable",
    "UnsupportedExpression",
    "attribute_filters",
    "body_filters",
    "check_segment_directory",
    "default_limit",
    "make_room",
    "migrate",
    "move",
    "occurrences_that_carry",
    "occurrences_with_span",
    "occurrences_without_span",
    "refusal",
    "set_retention",
    "settled_traces_with",
    "span_expression",
    "span_filters",
    "spans_with_tags",
    "traces_with_exception",
    "traces_with_span",
    "traces_without_span",
]
