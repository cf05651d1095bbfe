-- How far the settler has come, and who it is: the newest row counts. Of several processes on one server
-- the one whose lease has not run out settles.
CREATE TABLE IF NOT EXISTS otel.clew_settler
(
    Name LowCardinality(String) CODEC(ZSTD(1)),
    Holder String CODEC(ZSTD(1)),
    Until DateTime64(3) CODEC(ZSTD(1)),
    SettledUntil DateTime64(3) CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Name
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
