-- What a trace contributes to the occurrences of a defined transaction: one row for each transaction, key
-- and trace, made again by the settler when the trace has new spans or log records; read it with FINAL.
-- Without a key in the definition, or with none found on a trace that matches, Key is the trace's id.
--
-- Entry: the spans that match, with this key, first to last; none in a trace that only carries the key.
-- Step: the first span of each step that is in this trace; Number is its place in the definition, from 0.
-- Busy: the intervals in which any span of the trace was running, in nanoseconds, disjoint and in order.
CREATE TABLE IF NOT EXISTS otel.clew_occurrence_traces
(
    Transaction LowCardinality(String) CODEC(ZSTD(1)),
    Key String CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    Start DateTime64(9) CODEC(Delta, ZSTD(1)),
    End DateTime64(9) CODEC(Delta, ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    Entry Nested(
        SpanId String,
        Service LowCardinality(String),
        Operation LowCardinality(String),
        Start DateTime64(9),
        Duration UInt64,
        IsError Bool
    ) CODEC(ZSTD(1)),
    RootIsError Bool CODEC(ZSTD(1)),
    SpanCount UInt32 CODEC(T64, ZSTD(1)),
    ErrorCount UInt32 CODEC(T64, ZSTD(1)),
    Services Array(LowCardinality(String)) CODEC(ZSTD(1)),
    Busy Array(Tuple(Int64, Int64)) CODEC(ZSTD(1)),
    User String CODEC(ZSTD(1)),
    Value Nullable(Float64) CODEC(ZSTD(1)),
    Step Nested(
        Number UInt8,
        Service LowCardinality(String),
        Start DateTime64(9),
        Duration UInt64,
        IsError Bool
    ) CODEC(ZSTD(1)),
    Version UInt64 CODEC(Delta, ZSTD(1)),
    IsDeleted UInt8 DEFAULT 0 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(Version, IsDeleted)
PARTITION BY if(abs(toInt64(Start) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Start))
ORDER BY (Transaction, Key, TraceId)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
