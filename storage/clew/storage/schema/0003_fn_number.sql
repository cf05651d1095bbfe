-- A double as the exporter prints it (ECMAScript's rules, with the names JSON lacks). Kept short, as clew_varint.
CREATE OR REPLACE FUNCTION clew_number AS (x) -> replaceOne(
    replaceOne(transform(toString(x), ['nan', 'inf', '-inf'], ['NaN', 'Infinity', '-Infinity']), 'e', 'e+'),
    'e+-', 'e-')
