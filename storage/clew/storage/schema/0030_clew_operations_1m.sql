-- Rate, errors and duration of each operation by the minute; roots apart, since the root's
-- operation is the automatic transaction; versions apart, so that a deployment shows. Sketch merges, and each quantile of it is within 1 % of
-- a true value. Satisfied and Tolerating are Apdex's counts at its usual T of 500 ms.
CREATE TABLE IF NOT EXISTS otel.clew_operations_1m
(
    Minute DateTime CODEC(Delta, ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    ServiceVersion LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    IsRoot Bool CODEC(ZSTD(1)),
    Count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Errors SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Satisfied SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    Tolerating SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    DurationSum SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    DurationMax SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1)),
    Sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) CODEC(ZSTD(1)),
    FirstSeen SimpleAggregateFunction(min, DateTime64(9)) CODEC(ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY if(abs(toInt64(Minute) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Minute))
ORDER BY (ServiceName, SpanName, SpanKind, IsRoot, Environment, ServiceVersion, Minute)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
