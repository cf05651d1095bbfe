-- As for otel_metrics_gauge.
ALTER TABLE otel.otel_metrics_sum
    MODIFY COLUMN Series DEFAULT Stream
