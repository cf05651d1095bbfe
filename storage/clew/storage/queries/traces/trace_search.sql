-- The traces with a matching span in a stretch of the window, since {since} and before {until}, each at its newest
-- such span, newest first; {filters} stands for what clew.storage.filters made of the request.
SELECT TraceId AS trace_id, max(Timestamp) AS newest, clew_time(newest) AS matched_at
FROM otel.otel_traces
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)} AND TraceId != ''
    /*filters*/
GROUP BY trace_id
HAVING (newest, trace_id) < ({after_time:DateTime64(9)}, {after_id:String})
ORDER BY newest DESC, trace_id DESC
LIMIT {limit:UInt32}
