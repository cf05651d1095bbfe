-- As for otel_metrics_gauge.
ALTER TABLE otel.otel_metrics_histogram
    MODIFY COLUMN Series DEFAULT Stream
