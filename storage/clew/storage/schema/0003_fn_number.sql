-- A double as the exporter prints it (ECMAScript's rules, with the names JSON lacks).
CREATE OR REPLACE FUNCTION clew_number AS (x) -> multiIf(
    isNaN(x), 'NaN',
    isInfinite(x), if(x > 0, 'Infinity', '-Infinity'),
    abs(x) >= 1e21, replaceOne(toString(x), 'e', 'e+'),
    toString(x))
