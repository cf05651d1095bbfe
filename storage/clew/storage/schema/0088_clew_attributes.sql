-- Which attributes there are, and their most frequent values, by the hour: what a search offers to
-- complete. The settler counts them in a part of the traces and log records; a rollup of every value of
-- every span, kept by a view, took half of the insert's speed.
-- Source: span, resource or log.
CREATE TABLE IF NOT EXISTS otel.clew_attributes
(
    Hour DateTime CODEC(Delta, ZSTD(1)),
    Source LowCardinality(String) CODEC(ZSTD(1)),
    Key LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Value String CODEC(ZSTD(1)),
    Count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY if(abs(toInt64(Hour) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Hour))
ORDER BY (Source, Key, ServiceName, Value, Hour)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
