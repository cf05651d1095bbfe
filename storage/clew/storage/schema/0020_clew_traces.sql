-- One row per trace and service (after merging): what it took there, and the entry the trace is known
-- by as far as that service knows it. Reads group by TraceId. A service of its own row each, because
-- a batch comes from one service anyway, and sums merge faster than sets of names.
-- Entry is that of the smallest key: 2 bits that say how good an entry the span is (0 a root, 1 a
-- SERVER or CONSUMER span whose root has not come, 2 any other), then its start in nanoseconds. A
-- number as the key compares in 0.14 us a span, a tuple in 0.39.
-- By trace id in 10 ms at 20M spans; with the time range it gives, the rows of the trace in 54 ms
-- instead of 82.
CREATE TABLE IF NOT EXISTS otel.clew_traces
(
    TraceId String CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    SpanCount SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ErrorCount SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    EntryKey SimpleAggregateFunction(min, UInt64) CODEC(ZSTD(1)),
    Entry AggregateFunction(argMin, Tuple(
        SpanId String,
        SpanName LowCardinality(String),
        Environment LowCardinality(String),
        Duration UInt64,
        IsError UInt8,
        ServiceName String), UInt64) CODEC(ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX idx_start Start TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(Start)
ORDER BY (TraceId, ServiceName)
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1
