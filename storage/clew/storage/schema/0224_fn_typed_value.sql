-- An attribute's value in its type, of which JSON makes `true`, `42`, `1.5` or `"text"`. Integers that JavaScript
-- cannot hold, and doubles that JSON cannot write, stay texts. A text is first cast to a Variant of texts alone:
-- cast to the whole Variant it would be parsed, and "42" become an integer.
CREATE OR REPLACE FUNCTION clew_typed_value AS (letter, text) -> multiIf(
    letter = 'b', CAST(CAST(text = 'true', 'Bool'), 'Variant(Bool, Float64, Int64, String)'),
    letter = 'i' AND abs(toInt64OrZero(text)) BETWEEN 0 AND 9007199254740991,
        CAST(toInt64OrZero(text), 'Variant(Bool, Float64, Int64, String)'),
    letter = 'd' AND isFinite(toFloat64OrZero(text)),
        CAST(toFloat64OrZero(text), 'Variant(Bool, Float64, Int64, String)'),
    CAST(CAST(text, 'Variant(String)'), 'Variant(Bool, Float64, Int64, String)'))
