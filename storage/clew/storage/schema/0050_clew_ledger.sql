-- What became of everything that was received. A segment (or, for requests that never got into one,
-- a span of time) has a row for each fate of its items:
--     received     acknowledged to their clients
--     stored       in the tables, by service; Late of them are more than an hour off the clock
--     unreadable   requests, not items, that could not be parsed
--     refused      requests that were told to come again later
--     alive        the collector was running then
-- and any other word is why so many were rejected. Rows are written again when it is unclear whether
-- they were written: the segment's id makes them the same rows. Read with FINAL.
CREATE TABLE IF NOT EXISTS otel.clew_ledger
(
    ReceivedAt DateTime64(3) CODEC(Delta, ZSTD(1)),
    Signal LowCardinality(String) CODEC(ZSTD(1)),
    Segment UInt64 CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Fate LowCardinality(String) CODEC(ZSTD(1)),
    Items UInt64 CODEC(T64, ZSTD(1)),
    Late UInt64 CODEC(T64, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX idx_received_at ReceivedAt TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ReceivedAt)
ORDER BY (Segment, Signal, Fate, ServiceName)
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
