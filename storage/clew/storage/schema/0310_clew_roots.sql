-- The root spans in the order of time, without what the list of transactions does not need. In otel_traces, which is in
-- the order of operations, every operation has a granule with the beginning and one with the end of a window: of 2
-- million spans the roots of the last hour took 26 ms of CPU time from minutes of clew_operations_1m and spans, 6 from
-- here. 9 bytes a root span. Duration as clew_duration has it.
CREATE TABLE IF NOT EXISTS otel.clew_roots
(
    Timestamp DateTime64(9) CODEC(Delta, T64('bit'), ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(T64, ZSTD(1)),
    IsError Bool CODEC(ZSTD(1)),
    Segment UInt64 CODEC(Delta, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY if(abs(toInt64(Timestamp) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Timestamp))
ORDER BY Timestamp
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
