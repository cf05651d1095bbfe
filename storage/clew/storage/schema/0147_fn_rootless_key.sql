-- The EntryKey of rank 1 at a time, clew_entry_key(1, start) for times after 1970, in fewer functions: a statement
-- that compares with it twice is planned for every read.
CREATE OR REPLACE FUNCTION clew_rootless_key AS (start) -> 4611686018427387904 + toUnixTimestamp64Nano(start)
