-- Whether an EntryKey is not that of a root: the trace's root has not come, or this row lacks it.
CREATE OR REPLACE FUNCTION clew_is_rootless AS (entry_key) -> entry_key >= 4611686018427387904
