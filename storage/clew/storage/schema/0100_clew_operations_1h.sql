-- clew_operations_1m by the hour, without versions: a list over a day merges 24 sketches an operation and
-- not 1440 (2.5 us each and more: 40 transactions over 24 h took 160 ms of CPU time). Kept from
-- clew_operations_1m, so it costs an insert next to nothing.
CREATE TABLE IF NOT EXISTS otel.clew_operations_1h
(
    Hour DateTime CODEC(Delta, ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
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
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY if(abs(toInt64(Hour) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Hour))
ORDER BY (IsRoot, ServiceName, SpanName, SpanKind, Environment, Hour)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
