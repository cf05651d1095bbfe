-- The start that an EntryKey holds.
CREATE OR REPLACE FUNCTION clew_entry_start AS (entry_key) ->
    fromUnixTimestamp64Nano(toInt64(bitAnd(entry_key, 4611686018427387903)))
