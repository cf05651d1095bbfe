-- Which time series a point belongs to: the hash of what identifies a stream in OpenTelemetry's data model.
-- That is all resource attributes in any order, scope, name, unit, kind, temporality, monotonicity and the
-- point's attributes; bounds of buckets are not part of it. Points of one stream may overlap when two
-- processes call themselves the same: reads part those by StartTimeUnix. The landing view makes the same
-- number, hashing resource and scope once for all of their points; the default is for other writers, and
-- for points that are older than the column.
-- TimeUnixNanos, StartTimeUnixNanos: the nanoseconds beyond the second. They order points within one second,
-- and tell a run that began just now from one whose start is not known (its first point has start = time).
ALTER TABLE otel.otel_metrics_gauge
    ADD COLUMN IF NOT EXISTS Stream UInt64 DEFAULT cityHash64(
        cityHash64(cityHash64(cityHash64(mapSort(ResourceAttributes)), ScopeName, ScopeVersion, mapSort(ScopeAttributes)), 'gauge', MetricName, MetricUnit),
        mapSort(Attributes)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS TimeUnixNanos UInt32 DEFAULT 0 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS StartTimeUnixNanos UInt32 DEFAULT 0 CODEC(ZSTD(1))
