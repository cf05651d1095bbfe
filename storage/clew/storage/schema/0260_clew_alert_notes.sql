-- What people said of an episode of an alert: that they take care of it ('acknowledged'), or whether it was worth
-- telling ('useful', 'noise'). The newest row of each Kind counts.
CREATE TABLE IF NOT EXISTS otel.clew_alert_notes
(
    Alert String CODEC(ZSTD(1)),
    Episode UInt32 CODEC(ZSTD(1)),
    Kind LowCardinality(String) CODEC(ZSTD(1)),
    Author String CODEC(ZSTD(1)),
    Text String CODEC(ZSTD(1)),
    At DateTime64(3) CODEC(Delta, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(At)
ORDER BY (Alert, Episode, Kind)
TTL toDateTime(At) + toIntervalDay(90)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
