-- The service map by the minute of the traces' entries: made from clew_settled, a minute at a time and
-- again when one of its traces was. Only the rows of a minute's greatest Version count; each version has
-- one row with an empty Source and Target, so that a minute whose edges have gone is not shown with its old
-- ones. Counts are scaled by clew_settled's OneIn. Type as there.
CREATE TABLE IF NOT EXISTS otel.clew_edges_1m
(
    Minute DateTime CODEC(Delta, ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    Source LowCardinality(String) CODEC(ZSTD(1)),
    Target LowCardinality(String) CODEC(ZSTD(1)),
    Type LowCardinality(String) CODEC(ZSTD(1)),
    Count UInt64 CODEC(T64, ZSTD(1)),
    Errors UInt64 CODEC(T64, ZSTD(1)),
    DurationSum UInt64 CODEC(T64, ZSTD(1)),
    DurationMax UInt64 CODEC(T64, ZSTD(1)),
    Sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99), UInt64) CODEC(ZSTD(1)),
    OneIn UInt16 CODEC(ZSTD(1)),
    Version UInt64 CODEC(Delta, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
PARTITION BY if(abs(toInt64(Minute) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Minute))
ORDER BY (Minute, Environment, Source, Target, Type)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
