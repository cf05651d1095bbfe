-- The columns of 0200 for a cluster's Distributed table, which a statement with an index does not reach; elsewhere it
-- changes nothing.
ALTER TABLE otel.clew_span_exceptions
    ADD COLUMN IF NOT EXISTS ServiceVersion LowCardinality(String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Environment LowCardinality(String) CODEC(ZSTD(1))
