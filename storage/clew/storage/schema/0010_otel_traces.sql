-- The exporter's table, column for column, and four more at its end with defaults, which other
-- writers need not know. Environment and ServiceVersion are taken out of the resource once, where
-- side tables and reads would look them up in a Map for every span (0.1 us each).
-- Segment tells whose insert a row came with (what makes a retry exact), InsertedAt is what
-- retention goes by: a TTL on the event's time would drop a row with timestamp 0 while it is
-- being inserted, and the count of the insert would be short. idx_timestamp is ours too: a granule
-- of one operation is a stretch of time, so a window over all operations reads few of them.
-- A partition is a day. What was inserted more than 30 days (2592000 s) from its own time goes into
-- one of its own for the day of insertion (202612310 beside 20261231), here and in the other tables:
-- by the event's day alone, spans of 3,000 different days took 45 s and 9,000 parts (ADR 0010). Which
-- parts are read is chosen by the least and greatest Timestamp in them, as before.
-- Codecs, where they differ from the exporter's, with bench/disk.py (2M spans of 10 attributes, bytes
-- a span before and after; random ids, times and values leave 41 at best):
--   Timestamp, Duration  7.0 -> 6.3  T64 drops the bits that are zero and turns the rest
--   SpanId, ParentSpanId  15.5 -> 15.1; Resource, Scope  0.8 -> 0.1  ZSTD(3) sees that a column of
--       lengths is constant, ZSTD(1) does not. TraceId stays: ZSTD(3) finds matches in random text
--       that cost more than they save (16.3 -> 18.2). SpanAttributes stay too: ZSTD(6) would save 1.2
--       bytes for 0.65 us at each of a span's writes, with merges three or four.
-- Merges go column by column from the first row on, and parts have a file for each column from 1 MiB
-- on: 2.7 us a span where merging row by row takes 5.4 (by default that is what happens to the many
-- small merges). The same for metrics: 4.2 us a point for 6.0.
CREATE TABLE IF NOT EXISTS otel.otel_traces
(
    Timestamp DateTime64(9) CODEC(Delta, T64('bit'), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(3)),
    ParentSpanId String CODEC(ZSTD(3)),
    TraceState String CODEC(ZSTD(3)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    ScopeName String CODEC(ZSTD(3)),
    ScopeVersion String CODEC(ZSTD(3)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(T64, ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(3)),
    Events Nested(
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested(
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Environment LowCardinality(String) DEFAULT if(
        ResourceAttributes['deployment.environment.name'] != '',
        ResourceAttributes['deployment.environment.name'],
        ResourceAttributes['deployment.environment']) CODEC(ZSTD(1)),
    ServiceVersion LowCardinality(String) DEFAULT ResourceAttributes['service.version'] CODEC(ZSTD(1)),
    Segment UInt64 DEFAULT 0 CODEC(Delta, ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1,
    INDEX idx_timestamp Timestamp TYPE minmax GRANULARITY 1,
    INDEX idx_segment Segment TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY if(abs(toInt64(Timestamp) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Timestamp))
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    vertical_merge_algorithm_min_rows_to_activate = 1, vertical_merge_algorithm_min_columns_to_activate = 1,
    min_bytes_for_wide_part = 1048576
