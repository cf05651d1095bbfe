-- Those of some traces that have a matching span in a later stretch of the window too: they stand there.
SELECT DISTINCT TraceId AS trace_id
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
    /*filters*/
