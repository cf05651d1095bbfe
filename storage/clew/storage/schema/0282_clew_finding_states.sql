-- What became of findings: reviewed, ignored, resolved, open again by people; resolved and regressed by the runs, whose
-- Author is empty. The newest row of a finding counts.
CREATE TABLE IF NOT EXISTS otel.clew_finding_states
(
    Finding String CODEC(ZSTD(1)),
    State LowCardinality(String) CODEC(ZSTD(1)),
    Reason String CODEC(ZSTD(1)),
    Author String CODEC(ZSTD(1)),
    At DateTime64(3) CODEC(Delta, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(InsertedAt)
ORDER BY (Finding, At, State)
TTL InsertedAt + toIntervalDay(365)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
