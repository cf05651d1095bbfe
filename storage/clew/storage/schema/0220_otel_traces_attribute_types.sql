-- Attributes of scopes, and the type of every attribute's value. The exporter has no column for either: its maps
-- hold texts, so that the integer 42 and the string "42" are one.
-- AttributeTypes has a letter for each attribute, in the order of the maps: s string, b bool, i integer, d double,
-- y bytes, e empty. Its parts are `resource|scope|span|events|links`, with a comma between two events or links:
-- `ssi|s|sisb|ss,s|`. Spans of one operation have the same text, which makes it a byte or two of a dictionary
-- (ADR 0019 has what it costs). Empty for rows of other writers, and for rows that are older than the column.
ALTER TABLE otel.otel_traces
    ADD COLUMN IF NOT EXISTS ScopeAttributes Map(LowCardinality(String), String) DEFAULT map() CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS AttributeTypes LowCardinality(String) DEFAULT '' CODEC(ZSTD(1))
