-- Attributes as the exporter's Map: sorted by key, so that equal sets are equal values.
CREATE OR REPLACE FUNCTION clew_attributes AS (kvs) -> CAST(
    arrayMap(kv -> (kv.key, clew_value(kv.value)), arraySort(kv -> kv.key, kvs)),
    'Map(LowCardinality(String), String)')
