-- A later page of trace_search: what comes after {after_time} and {after_id}.
SELECT TraceId AS trace_id, toUnixTimestamp64Nano(max(Timestamp)) AS newest
FROM otel.otel_traces
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)} AND TraceId != ''
    /*filters*/
GROUP BY trace_id
HAVING (max(Timestamp), trace_id) < ({after_time:DateTime64(9)}, {after_id:String})
ORDER BY newest DESC, trace_id DESC
LIMIT {limit:UInt32}
