-- The history of alerts: a row for each change of state, with the verdict that led to it as JSON. A change that is
-- judged again after a crash is the same row.
CREATE TABLE IF NOT EXISTS otel.clew_alert_changes
(
    Alert String CODEC(ZSTD(1)),
    At DateTime64(3) CODEC(Delta, ZSTD(1)),
    State LowCardinality(String) CODEC(ZSTD(1)),
    Episode UInt32 CODEC(ZSTD(1)),
    Verdict String CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (Alert, At, State)
TTL toDateTime(At) + toIntervalDay(90)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
