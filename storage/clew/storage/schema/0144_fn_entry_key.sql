-- EntryKey of clew_traces: the rank of a span as an entry in the two upper bits, below it its start in nanoseconds
-- from 1970 to 2116. The least key of a trace is that of its entry.
CREATE OR REPLACE FUNCTION clew_entry_key AS (rank, start) -> bitOr(
    bitShiftLeft(toUInt64(rank), 62),
    reinterpretAsUInt64(least(greatest(toUnixTimestamp64Nano(start), 0), 4611686018427387903)))
