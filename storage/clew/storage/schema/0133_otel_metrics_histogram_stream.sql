-- As for otel_metrics_gauge.
-- HasSum, HasMin, HasMax: whether the point has them, which are optional. Other writers put 0 where there is
-- none: then they are known unless that 0 cannot be right.
ALTER TABLE otel.otel_metrics_histogram
    ADD COLUMN IF NOT EXISTS Stream UInt64 DEFAULT cityHash64(
        cityHash64(cityHash64(cityHash64(mapSort(ResourceAttributes)), ScopeName, ScopeVersion, mapSort(ScopeAttributes)), 'histogram', AggregationTemporality, MetricName, MetricUnit),
        mapSort(Attributes)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS TimeUnixNanos UInt32 DEFAULT 0 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS StartTimeUnixNanos UInt32 DEFAULT 0 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS HasSum Bool DEFAULT Sum != 0 OR Count = 0 OR BucketCounts[1] = Count CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS HasMin Bool DEFAULT Min != 0 OR Max != 0 OR Sum = 0 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS HasMax Bool DEFAULT Min != 0 OR Max != 0 OR Sum = 0 CODEC(ZSTD(1))
