-- with entries
-- The entries of some traces, to be chosen from in Python.
SELECT TraceId AS trace_id, toUnixTimestamp64Nano(Timestamp) AS entered, Took AS took, IsError AS is_error,
    Last AS last, Failed AS failed, sipHash64(TraceId) AS hash
FROM entries
