-- One row per trace (after merging): what it took, and the entry it is known by.
-- Entry is the smallest of its spans' tuples: Rank 0 is a root span, 1 a SERVER or CONSUMER span
-- (whose root has not come), 2 any other; then the earliest. Start is signed nanoseconds there,
-- so that the order is that of numbers.
-- By trace id in 10 ms at 20M spans (6.3 bytes a span); with the time range it gives, the rows of
-- the trace in 54 ms instead of 82.
CREATE TABLE IF NOT EXISTS otel.clew_traces
(
    TraceId String CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    SpanCount SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ErrorCount SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Services SimpleAggregateFunction(groupUniqArrayArray, Array(String)) CODEC(ZSTD(1)),
    Entry SimpleAggregateFunction(min, Tuple(
        Rank UInt8,
        Timestamp DateTime64(9),
        SpanId String,
        ServiceName String,
        SpanName String,
        Environment String,
        Duration UInt64,
        IsError UInt8)) CODEC(ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX idx_start Start TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Start)
ORDER BY TraceId
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1
