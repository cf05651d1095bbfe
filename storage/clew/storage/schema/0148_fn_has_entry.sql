-- Whether an EntryKey is that of a root or of an entry kind: the trace belongs to an automatic transaction.
CREATE OR REPLACE FUNCTION clew_has_entry AS (entry_key) -> bitShiftRight(entry_key, 62) < 2
