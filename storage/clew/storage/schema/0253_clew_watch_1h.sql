-- The hours of every series that is watched, from which baselines are made: an hour is computed when it is
-- over, and again when late rows came; the row of the greatest Version counts. Kept longer than the rows that
-- it comes from (--retention rollups=90d).
--
-- Series is cityHash64(Kind, Environment, ServiceName, Name). Kind: 'transaction' (the root spans of an
-- operation), 'defined' (the occurrences of a defined transaction), 'operation' (all spans of an operation),
-- 'service' (what comes in to a service), 'dependency' (calls of ServiceName to Name), 'process' (the metric
-- Name of a service). Levels: the durations in nanoseconds at the quantiles of watch_hours.sql. Value of a process
-- is the metric's mean; of the others Value and ValueLost are sums of business value.
CREATE TABLE IF NOT EXISTS otel.clew_watch_1h
(
    Hour DateTime CODEC(Delta, ZSTD(1)),
    Series UInt64 CODEC(ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Name LowCardinality(String) CODEC(ZSTD(1)),
    Count UInt64 CODEC(T64, ZSTD(1)),
    Errors UInt64 CODEC(T64, ZSTD(1)),
    Levels Array(Float32) CODEC(ZSTD(1)),
    Value Float64 CODEC(ZSTD(1)),
    ValueLost Float64 CODEC(ZSTD(1)),
    Version UInt64 CODEC(Delta, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
PARTITION BY if(abs(toInt64(Hour) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Hour))
ORDER BY (Series, Hour)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
