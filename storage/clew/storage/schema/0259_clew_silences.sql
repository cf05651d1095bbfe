-- Silences: alerts that match tell nobody for a time. The row of the greatest Version counts. Match is JSON: labels
-- that an alert must have, * for any characters. One that was ended early has its EndsAt then.
CREATE TABLE IF NOT EXISTS otel.clew_silences
(
    Id String CODEC(ZSTD(1)),
    Match String CODEC(ZSTD(1)),
    Author String CODEC(ZSTD(1)),
    Reason String CODEC(ZSTD(1)),
    StartsAt DateTime64(3) CODEC(Delta, ZSTD(1)),
    EndsAt DateTime64(3) CODEC(Delta, ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Id
TTL toDateTime(EndsAt) + toIntervalDay(90)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
