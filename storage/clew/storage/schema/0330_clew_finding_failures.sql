-- Rules of findings that do not run, and why: an empty Error where a rule runs again. The newest row of a rule counts.
CREATE TABLE IF NOT EXISTS otel.clew_finding_failures
(
    Rule LowCardinality(String) CODEC(ZSTD(1)),
    Error String CODEC(ZSTD(1)),
    Since Float64 CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Rule
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
