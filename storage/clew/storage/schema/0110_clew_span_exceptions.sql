-- The exceptions that spans report (as events), apart from the spans: they are few, and lie in nearly every
-- granule of otel_traces, so that a window's took reading the ids and events of all its spans. Over 24 h of
-- 2 million spans: 450 ms of CPU time from the base tables, 50 from these. Timestamp is the span's, At the
-- event's own. A row for each event, with its stack trace as it was sent: which frame of it matters is
-- worked out by who reads it, or a storm of exceptions would hold up what comes in.
CREATE TABLE IF NOT EXISTS otel.clew_span_exceptions
(
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    At DateTime64(9) CODEC(Delta, ZSTD(1)),
    Type String CODEC(ZSTD(1)),
    Message String CODEC(ZSTD(1)),
    Stack String CODEC(ZSTD(3)),
    Segment UInt64 CODEC(Delta, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY if(abs(toInt64(Timestamp) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Timestamp))
ORDER BY (toStartOfHour(Timestamp), ServiceName, Type, Timestamp)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
