-- As for otel_metrics_gauge.
ALTER TABLE otel.otel_metrics_sum
    ADD COLUMN IF NOT EXISTS Stream UInt64 DEFAULT cityHash64(
        cityHash64(cityHash64(cityHash64(mapSort(ResourceAttributes)), ScopeName, ScopeVersion, mapSort(ScopeAttributes)), 'sum', AggregationTemporality, IsMonotonic, MetricName, MetricUnit),
        mapSort(Attributes)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS TimeUnixNanos UInt32 DEFAULT 0 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS StartTimeUnixNanos UInt32 DEFAULT 0 CODEC(ZSTD(1))
