-- The text of an attribute's value, from the encoded bytes of its AnyValue; which kind it is
-- stands in the first byte (the field's tag). Measured on 10 attributes a span: declaring the
-- value as bytes and decoding here parses and transforms 230k spans per CPU-second, declaring the
-- scalar fields as Nullable columns 191k.
-- Arrays and maps (0x2a, 0x32) have no form in SQL. For them, and for a string whose length is not
-- written in the shortest way, the insert is refused whole, with nothing stored; the loader writes
-- those values out and inserts again (ADR 0003).
-- `tag` is the first byte and `content` what follows the length (clew_content): names for both keep
-- the expression short, which is planned anew for every insert and every map of a view.
CREATE OR REPLACE FUNCTION clew_tagged_value AS (v, tag, content) -> multiIf(
    throwIf(
        tag IN (42, 50)
            OR (tag IN (10, 58) AND reinterpretAsUInt8(substring(v, 2, 1))
                != modulo(length(content), 128) + 128 * (length(content) > 127)),
        'clew: nested value'), '',
    tag = 10, content,
    tag = 58, base64Encode(content),
    tag = 24, toString(reinterpretAsInt64(clew_varint(v))),
    tag = 16, if(endsWith(v, '\x01'), 'true', 'false'),
    tag = 33, clew_number(reinterpretAsFloat64(substring(v, 2, 8))),
    '')
