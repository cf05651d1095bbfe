-- What was dropped to keep the database below its limit: a row for each table and partition.
CREATE TABLE IF NOT EXISTS otel.clew_expired
(
    Time DateTime64(3) DEFAULT now64(3) CODEC(Delta, ZSTD(1)),
    Table LowCardinality(String) CODEC(ZSTD(1)),
    Partition String CODEC(ZSTD(1)),
    Rows UInt64 CODEC(ZSTD(1)),
    Bytes UInt64 CODEC(ZSTD(1)),
    Reason LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY Time
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
