-- The traces with a matching span in a stretch of the window, since {since} and before {until}, each at its newest
-- such span, newest first; {filters} stands for what clew.storage.filters made of the request. Nanoseconds since 1970,
-- because a text of it, and the condition of later pages, take a third longer to plan.
SELECT TraceId AS trace_id, toUnixTimestamp64Nano(max(Timestamp)) AS newest
FROM otel.otel_traces
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)} AND TraceId != ''
    /*filters*/
GROUP BY trace_id
ORDER BY newest DESC, trace_id DESC
LIMIT {limit:UInt32}
