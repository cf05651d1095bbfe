-- Level: the severity on one scale (clew_level), for every writer; computed when read for parts that are
-- older than the column.
ALTER TABLE otel.otel_logs
    ADD COLUMN IF NOT EXISTS Level UInt8 DEFAULT clew_level(SeverityNumber, SeverityText) CODEC(ZSTD(1))
