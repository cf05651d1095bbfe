-- Template: the hash of what the record has in common with others of its kind (clew_log_template) and of its level.
-- Eight bytes of few values, which a merge makes small, so that the records of two sets of traces are counted without
-- reading their bodies. Computed when read for parts that are older than the column.
ALTER TABLE otel.otel_logs
    ADD COLUMN IF NOT EXISTS Template UInt64 DEFAULT cityHash64(clew_level(SeverityNumber, SeverityText), clew_log_template(LogAttributes, Body)) CODEC(ZSTD(1))
