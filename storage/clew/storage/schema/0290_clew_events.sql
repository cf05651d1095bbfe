-- What happens around the services, as senders of POST /api/v1/events say it: deployments, feature flags, campaigns,
-- incidents, holidays. The row of the greatest Version counts: an Id that its sender gave replaces itself. End is 1970
-- for what has no length. ServiceName, Environment: '' for what concerns all of them. Author: the name of the API key.
-- A holiday may be told a year ahead: a row stays until it is over and told for as long as rollups are by default.
CREATE TABLE IF NOT EXISTS otel.clew_events
(
    Id String CODEC(ZSTD(1)),
    Time DateTime64(9) CODEC(Delta, ZSTD(1)),
    End DateTime64(9) CODEC(Delta, ZSTD(1)),
    Type LowCardinality(String) CODEC(ZSTD(1)),
    Name String CODEC(ZSTD(1)),
    Environment LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ServiceVersion String CODEC(ZSTD(1)),
    Attributes Map(String, String) CODEC(ZSTD(1)),
    Author LowCardinality(String) CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    InsertedAt DateTime DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(Version)
ORDER BY Id
TTL greatest(toDateTime(Time), toDateTime(End), InsertedAt) + toIntervalDay(90)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1
