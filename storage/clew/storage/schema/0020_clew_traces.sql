-- One row per trace (after merging): what it took, and the entry it is known by. Reads group by
-- TraceId. One row and not one for each service: only so do the few traces without a root stand out
-- by their EntryKey (with a row each, every trace of several services did; on 250k traces the joined
-- view took 7 s).
-- Entry is that of the smallest key: 2 bits that say how good an entry the span is (0 a root, 1 a
-- SERVER or CONSUMER span whose root has not come, 2 any other), then its start in nanoseconds. A
-- number as the key compares in 0.14 us a span, a tuple in 0.39.
-- By trace id in 10 ms at 20M spans; with the time range it gives, the rows of the trace in 54 ms
-- instead of 82.
CREATE TABLE IF NOT EXISTS otel.clew_traces
(
    TraceId String CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime64(9)) CODEC(Delta, ZSTD(1)),
    SpanCount SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    ErrorCount SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Services SimpleAggregateFunction(groupUniqArrayArray, Array(String)) CODEC(ZSTD(1)),
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
PARTITION BY if(abs(toInt64(Start) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Start))
ORDER BY TraceId
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
