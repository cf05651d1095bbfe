-- The traces that begin in a stretch of time, in the order in which they do, and how far each reaches: before
-- they are merged, a trace's rows may lie on both sides of the stretch's ends.
SELECT
    TraceId AS trace_id,
    toString(min(Start)) AS start,
    toString(max(End)) AS end
FROM otel.clew_traces
WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE Start >= {start:DateTime64(9)} AND Start <= {end:DateTime64(9)})
    AND Start >= {earliest:DateTime64(9)} AND Start <= {latest:DateTime64(9)}
GROUP BY TraceId
ORDER BY min(Start), TraceId
