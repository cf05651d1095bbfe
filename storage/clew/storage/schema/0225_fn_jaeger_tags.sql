-- Attributes as Jaeger's query service writes tags: key, type and value of each.
CREATE OR REPLACE FUNCTION clew_jaeger_tags AS (attributes, types) -> arrayMap(
    (key, text, letter) -> (
        toString(key),
        transform(letter, ['b', 'i', 'd', 'y'], ['bool', 'int64', 'float64', 'binary'], 'string'),
        clew_typed_value(letter, text)),
    mapKeys(attributes), mapValues(attributes), clew_type_letters(types, attributes))
