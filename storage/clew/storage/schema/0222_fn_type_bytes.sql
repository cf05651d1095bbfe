-- The type of each attribute's value: the first byte of its encoded AnyValue (the field's tag), and a zero byte for
-- one without a value. Of a key that is sent twice the first, as in clew_attributes. The landing view translates
-- these bytes into letters once for a span.
CREATE OR REPLACE FUNCTION clew_type_bytes AS (kvs) -> arrayStringConcat(arrayFilter(
    (type, occurrence) -> occurrence = 1,
    arrayMap(tag -> char(tag), arrayMap(v -> ascii(v), tupleElement(kvs, 'value'))),
    arrayEnumerateUniq(tupleElement(kvs, 'key'))))
