-- A protobuf varint that starts at byte `at` (1-based) of `v` and reaches to its end, as UInt64.
-- Seven bits of each byte, least significant first: eight bytes are taken as one little-endian
-- word whose continuation bits are squeezed out, the ninth and tenth come apart.
-- (A function is written out into the text of each view that uses it, when that view is created.)
CREATE OR REPLACE FUNCTION clew_varint AS (v, at) -> bitOr(
    bitOr(
        bitOr(
            bitOr(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 127),
                  bitShiftRight(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 32512), 1)),
            bitOr(bitShiftRight(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 8323072), 2),
                  bitShiftRight(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 2130706432), 3))),
        bitOr(
            bitOr(bitShiftRight(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 545460846592), 4),
                  bitShiftRight(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 139637976727552), 5)),
            bitOr(bitShiftRight(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 35747322042253312), 6),
                  bitShiftRight(bitAnd(reinterpretAsUInt64(substring(v, at, 8)), 9151314442816847872), 7)))),
    bitOr(bitShiftLeft(bitAnd(reinterpretAsUInt64(substring(v, at + 8, 1)), 127), 56),
          bitShiftLeft(bitAnd(reinterpretAsUInt64(substring(v, at + 9, 1)), 1), 63)))
