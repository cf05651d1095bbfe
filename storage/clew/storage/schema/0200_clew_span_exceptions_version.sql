-- The version and the environment of the service that raised an exception, and an index on the time of the event: an
-- exception of the last minutes may be of a span that began days ago. Rows that are older than the columns have
-- neither version nor environment.
ALTER TABLE otel.clew_span_exceptions
    ADD COLUMN IF NOT EXISTS ServiceVersion LowCardinality(String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Environment LowCardinality(String) CODEC(ZSTD(1)),
    ADD INDEX IF NOT EXISTS idx_at At TYPE minmax GRANULARITY 1
