-- The definitions of business transactions. Those of the greatest Revision (nanoseconds) count; each
-- revision has one row with an empty Id, so that one without any is a revision too. Definition is the
-- definition as JSON, in the YAML's form; Origin the file it came from, or 'api'.
CREATE TABLE IF NOT EXISTS otel.clew_definitions
(
    Revision UInt64 CODEC(ZSTD(1)),
    Position UInt16 CODEC(ZSTD(1)),
    Id String CODEC(ZSTD(1)),
    Name String CODEC(ZSTD(1)),
    Definition String CODEC(ZSTD(1)),
    Origin String CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (Revision, Position)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
