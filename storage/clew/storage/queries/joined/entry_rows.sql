-- with entries
-- The entries of some traces, to be chosen from in Python.
SELECT TraceId AS trace_id, toUnixTimestamp64Nano(Timestamp) AS time, Took AS took, IsError AS is_error, Last AS last, Failed AS failed
FROM entries
