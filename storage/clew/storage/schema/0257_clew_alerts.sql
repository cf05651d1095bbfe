-- The alerts: one row for each rule and set of labels that it was judged for, of which the greatest Version counts.
-- State, Known and Since as in clew.analysis.alerts.states; Document is JSON: the rest of the state, what was told
-- to whom, and the last verdict.
CREATE TABLE IF NOT EXISTS otel.clew_alerts
(
    Alert String CODEC(ZSTD(1)),
    Rule LowCardinality(String) CODEC(ZSTD(1)),
    State LowCardinality(String) CODEC(ZSTD(1)),
    Known LowCardinality(String) CODEC(ZSTD(1)),
    Severity LowCardinality(String) CODEC(ZSTD(1)),
    Since DateTime64(3) CODEC(Delta, ZSTD(1)),
    Document String CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    IsDeleted UInt8 DEFAULT 0 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version, IsDeleted)
ORDER BY Alert
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
