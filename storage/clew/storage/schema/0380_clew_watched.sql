-- What the watcher watches: one row, of which the greatest Version counts. Document is JSON: clew.analysis.watching.coverage.
CREATE TABLE IF NOT EXISTS otel.clew_watched
(
    Name LowCardinality(String) CODEC(ZSTD(1)),
    Document String CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Name
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
