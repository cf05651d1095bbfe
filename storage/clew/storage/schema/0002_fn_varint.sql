-- A protobuf varint that stands behind the first byte of `v` and reaches to its end, as UInt64: seven
-- bits of each byte, least significant first. Kept short: the text of a function is written out into
-- every view that uses it, and a view is planned anew for every insert (written with shifts of one
-- word instead, an insert of nothing took 36 ms of CPU in place of 28).
CREATE OR REPLACE FUNCTION clew_varint AS (v) -> arraySum(
    i -> bitShiftLeft(toUInt64(bitAnd(reinterpretAsUInt8(substring(v, i + 2, 1)), 127)), 7 * i),
    range(toUInt64(length(v) - 1)))
