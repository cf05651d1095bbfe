-- The kinds of log records of each service by the hour, with an example: what a template's hash means (otel_logs), and
-- since when there are such records.
CREATE TABLE IF NOT EXISTS otel.clew_log_templates
(
    Hour DateTime CODEC(Delta, ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Template UInt64 CODEC(ZSTD(1)),
    Level UInt8 CODEC(ZSTD(1)),
    Place String CODEC(ZSTD(1)),
    Body SimpleAggregateFunction(min, String) CODEC(ZSTD(1)),
    Count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY if(abs(toInt64(Hour) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Hour))
ORDER BY (Hour, ServiceName, Template, Environment, Level, Place)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
