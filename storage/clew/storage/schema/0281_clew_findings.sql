-- Findings: what is slow every day, one row for each, of which the greatest Version counts. Document is JSON: what it is,
-- what it costs, its examples, the advice. One that no run has seen for 90 days goes.
CREATE TABLE IF NOT EXISTS otel.clew_findings
(
    Finding String CODEC(ZSTD(1)),
    Rule LowCardinality(String) CODEC(ZSTD(1)),
    FirstSeen DateTime CODEC(Delta, ZSTD(1)),
    LastSeen DateTime CODEC(Delta, ZSTD(1)),
    Document String CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Finding
TTL InsertedAt + toIntervalDay(90)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
