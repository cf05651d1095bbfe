-- The text of an attribute's value, from the encoded bytes of its AnyValue; which kind it is
-- stands in the first byte (the field's tag). Measured on 10 attributes a span: declaring the
-- value as bytes and decoding here parses and transforms 230k spans per CPU-second, declaring the
-- scalar fields as Nullable columns 191k.
-- Arrays and maps (0x2a, 0x32) have no form in SQL. For them, and for a string whose length is not
-- written in the shortest way, the insert is refused whole, with nothing stored; the loader writes
-- those values out and inserts again (ADR 0003).
CREATE OR REPLACE FUNCTION clew_value AS (v) -> multiIf(
    throwIf(
        ascii(v) IN (42, 50)
            OR (ascii(v) IN (10, 58) AND reinterpretAsUInt8(substring(v, 2, 1)) != if(length(v) > 129,
                bitOr(bitAnd(length(v) - 3 - (length(v) > 16386) - (length(v) > 2097155), 127), 128),
                length(v) - 2)),
        'clew: nested value'), '',
    ascii(v) IN (10, 58),
        if(ascii(v) = 10,
           substring(v, 3 + (length(v) > 129) + (length(v) > 16386) + (length(v) > 2097155)),
           base64Encode(substring(v, 3 + (length(v) > 129) + (length(v) > 16386) + (length(v) > 2097155)))),
    ascii(v) = 24, toString(reinterpretAsInt64(clew_varint(v))),
    ascii(v) = 16, if(endsWith(v, '\x01'), 'true', 'false'),
    ascii(v) = 33, clew_number(reinterpretAsFloat64(substring(v, 2, 8))),
    '')
