-- As for otel_metrics_gauge.
ALTER TABLE otel.otel_metrics_histogram
    ADD COLUMN IF NOT EXISTS Instance LowCardinality(String) DEFAULT ResourceAttributes['service.instance.id'] CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Host LowCardinality(String) DEFAULT ResourceAttributes['host.name'] CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Series UInt64
        DEFAULT cityHash64(ResourceAttributes['service.instance.id'], Attributes, ExplicitBounds) CODEC(ZSTD(1))
