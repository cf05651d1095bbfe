-- Attributes as OTLP has them in JSON, where an integer is a text: `{"key": "n", "value": {"intValue": "42"}}`.
CREATE OR REPLACE FUNCTION clew_otlp_attributes AS (attributes, types) -> arrayMap(
    (key, text, letter) -> (
        toString(key),
        map(
            transform(letter, ['b', 'i', 'd', 'y'], ['boolValue', 'intValue', 'doubleValue', 'bytesValue'], 'stringValue'),
            clew_typed_value(if(letter = 'i', 's', letter), text))),
    mapKeys(attributes), mapValues(attributes), clew_type_letters(types, attributes))
