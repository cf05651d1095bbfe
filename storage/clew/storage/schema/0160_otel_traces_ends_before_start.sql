-- Whether a span ends before it starts. clew stores such a span with the Duration 0, so that statements can calculate
-- with it. Other writers store a difference that wrapped below zero: the default recognises it, and clew_duration
-- counts it as 0.
ALTER TABLE otel.otel_traces
    ADD COLUMN IF NOT EXISTS EndsBeforeStart Bool DEFAULT Duration >= 9223372036854775808 CODEC(ZSTD(1))
