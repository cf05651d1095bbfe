-- The version and the environment of the service that raised an exception. Rows that are older than the columns
-- have neither.
ALTER TABLE otel.clew_log_exceptions
    ADD COLUMN IF NOT EXISTS ServiceVersion LowCardinality(String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Environment LowCardinality(String) CODEC(ZSTD(1))
