-- One row per occurrence of a defined transaction: all traces with its key put together, from
-- clew_occurrence_traces; read it with FINAL. Keys that no matching span carries have no row.
--
-- Timestamp is the start of the first span that matched: an occurrence belongs to that time. Entry* are of
-- the last attempt, the last span that matched: it decided. Duration is from Start to End; Working the union
-- of the intervals in which any span was running. IsError as contract and docs say.
-- Step: those reached, in the definition's order, each the first time; TraceId is where.
CREATE TABLE IF NOT EXISTS otel.clew_occurrences
(
    Transaction LowCardinality(String) CODEC(ZSTD(1)),
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    Key String CODEC(ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    TraceIds Array(String) CODEC(ZSTD(1)),
    Start DateTime64(9) CODEC(Delta, ZSTD(1)),
    End DateTime64(9) CODEC(Delta, ZSTD(1)),
    Working UInt64 CODEC(T64, ZSTD(1)),
    EntryTraceId String CODEC(ZSTD(1)),
    EntrySpanId String CODEC(ZSTD(1)),
    EntryService LowCardinality(String) CODEC(ZSTD(1)),
    EntryOperation LowCardinality(String) CODEC(ZSTD(1)),
    EntryDuration UInt64 CODEC(T64, ZSTD(1)),
    Attempts UInt16 CODEC(ZSTD(1)),
    IsError Bool CODEC(ZSTD(1)),
    User String CODEC(ZSTD(1)),
    Value Nullable(Float64) CODEC(ZSTD(1)),
    Services Array(LowCardinality(String)) CODEC(ZSTD(1)),
    SpanCount UInt32 CODEC(T64, ZSTD(1)),
    ErrorCount UInt32 CODEC(T64, ZSTD(1)),
    Step Nested(
        Number UInt8,
        Service LowCardinality(String),
        Start DateTime64(9),
        Duration UInt64,
        IsError Bool,
        TraceId String
    ) CODEC(ZSTD(1)),
    Version UInt64 CODEC(Delta, ZSTD(1)),
    IsDeleted UInt8 DEFAULT 0 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX idx_key Key TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(Version, IsDeleted)
PARTITION BY if(abs(toInt64(Timestamp) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Timestamp))
ORDER BY (Transaction, Timestamp, Key)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
