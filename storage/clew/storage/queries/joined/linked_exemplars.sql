-- with exemplars
-- Of some series those of which a point has a trace as an exemplar. (Of a frequent transaction: one of the traces in the
-- first {part} of every {stride} nanoseconds.)
SELECT DISTINCT series
FROM exemplars
ARRAY JOIN trace_ids AS trace_id
WHERE trace_id IN (
    SELECT TraceId FROM entries
    WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64})
