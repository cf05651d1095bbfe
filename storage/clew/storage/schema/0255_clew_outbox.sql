-- Messages to receivers of alerts, one row for each transition and receiver: Key says which, and goes out with the
-- message, so that a receiver can tell what it gets twice. The row of the greatest Version counts. A row is first
-- written with Version 1, again after a crash with the same, and with a greater one whenever it was tried.
-- State: 'waiting', 'sent', or 'dropped' when it could not be delivered within a day. Batch is the key of the
-- summary that it went out in, '' by itself. Notification is JSON (clew.analysis.alerts.notifications).
CREATE TABLE IF NOT EXISTS otel.clew_outbox
(
    Key String CODEC(ZSTD(1)),
    Receiver LowCardinality(String) CODEC(ZSTD(1)),
    Alert String CODEC(ZSTD(1)),
    Transition LowCardinality(String) CODEC(ZSTD(1)),
    CreatedAt DateTime64(3) CODEC(Delta, ZSTD(1)),
    Notification String CODEC(ZSTD(1)),
    State LowCardinality(String) CODEC(ZSTD(1)),
    Attempts UInt16 CODEC(ZSTD(1)),
    DueAt DateTime64(3) CODEC(Delta, ZSTD(1)),
    Batch String CODEC(ZSTD(1)),
    Error String CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Key
TTL toDateTime(CreatedAt) + toIntervalDay(90)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
