-- The rules of alerts, by where they come from: of each Origin ('api', or 'file') the greatest Revision
-- (nanoseconds) counts. Document is JSON, in the YAML's form (clew.analysis.alerts.rules): of a file with its
-- receivers, which name variables and have no secrets.
CREATE TABLE IF NOT EXISTS otel.clew_alert_rules
(
    Revision UInt64 CODEC(ZSTD(1)),
    Origin LowCardinality(String) CODEC(ZSTD(1)),
    Document String CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (Origin, Revision)
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
