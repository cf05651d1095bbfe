-- When each version of a service was seen first, by the time of its spans.
CREATE TABLE IF NOT EXISTS otel.clew_deployments
(
    ServiceName LowCardinality(String),
    Version String,
    Environment LowCardinality(String),
    FirstSeen SimpleAggregateFunction(min, DateTime64(9)),
    InsertedAt SimpleAggregateFunction(max, DateTime) DEFAULT now()
)
ENGINE = AggregatingMergeTree
ORDER BY (ServiceName, Version, Environment)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
