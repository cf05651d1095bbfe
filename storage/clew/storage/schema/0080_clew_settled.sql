-- One row per trace, made again whenever new spans of it have come: where its time went, and who called
-- whom. The settler writes it (clew.collector.settler), from whole traces; read it with FINAL.
--
-- ServiceName … IsError are the entry's, as in clew_traces; Rank says what sort of entry it is: 0 a root, 1
-- a SERVER or CONSUMER span whose root has not come, 2 any other (no transaction).
-- Path has one element for each operation of the trace: calls, the nanoseconds of its own (no child
-- running), and those of them on the critical path.
-- Call has one element for each call out of a service. Type: service, database, external or queue say what
-- Target is; consumed, that Source is a queue and Target the service that takes from it. Summary is the
-- statement's, or the operation's. Duration is the caller's where there is a span of it.
-- OneIn: where more came in than the settler keeps up with, only one trace in so many has a row.
CREATE TABLE IF NOT EXISTS otel.clew_settled
(
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(T64, ZSTD(1)),
    IsError Bool CODEC(ZSTD(1)),
    Rank UInt8 CODEC(ZSTD(1)),
    Services Array(LowCardinality(String)) CODEC(ZSTD(1)),
    SpanCount UInt32 CODEC(T64, ZSTD(1)),
    Path Nested(
        Service LowCardinality(String),
        Operation LowCardinality(String),
        Kind LowCardinality(String),
        Calls UInt32,
        Self UInt64,
        Critical UInt64
    ) CODEC(ZSTD(1)),
    Call Nested(
        Source LowCardinality(String),
        Target LowCardinality(String),
        Type LowCardinality(String),
        Summary LowCardinality(String),
        Duration UInt64,
        IsError Bool
    ) CODEC(ZSTD(1)),
    OneIn UInt16 DEFAULT 1 CODEC(ZSTD(1)),
    Version UInt64 CODEC(Delta, ZSTD(1)),
    IsDeleted UInt8 DEFAULT 0 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(Version, IsDeleted)
PARTITION BY if(abs(toInt64(Timestamp) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Timestamp))
ORDER BY (ServiceName, SpanName, Timestamp, TraceId)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
