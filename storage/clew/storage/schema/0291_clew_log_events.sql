-- The log records that are events of OpenTelemetry's conventions, by the minute: evaluations of feature flags, of which
-- a service may send thousands a second, and deployments. Name is the flag's key, or the deployment's name or id;
-- Variant what the flag evaluated to, or the deployment's status; ServiceVersion the version that is deployed, of a flag
-- that of its rules.
CREATE TABLE IF NOT EXISTS otel.clew_log_events
(
    Minute DateTime CODEC(Delta, ZSTD(1)),
    Type LowCardinality(String) CODEC(ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Name String CODEC(ZSTD(1)),
    Variant String CODEC(ZSTD(1)),
    ServiceVersion String CODEC(ZSTD(1)),
    Count SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    FirstSeen SimpleAggregateFunction(min, DateTime64(9)) CODEC(ZSTD(1)),
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY if(abs(toInt64(Minute) - toInt64(InsertedAt)) > 2592000,
    toYYYYMMDD(InsertedAt) * 10, toYYYYMMDD(Minute))
ORDER BY (Type, Minute, Environment, ServiceName, Name, Variant, ServiceVersion)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
