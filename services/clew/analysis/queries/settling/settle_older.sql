-- The settled traces of an hour whose rows are from before Path.Most, the newest first, with their weights and how far
-- they reach. `before`: those that start earlier.
SELECT
    TraceId AS trace_id,
    settled.OneIn AS one_in,
    toUnixTimestamp64Nano(settled.Timestamp) AS start,
    spans.First AS first,
    spans.Last AS last
FROM otel.clew_settled AS settled FINAL
INNER JOIN
(
    SELECT TraceId, toString(min(traces.Start)) AS First, toString(max(traces.End)) AS Last
    FROM otel.clew_traces AS traces
    WHERE Start >= {since:DateTime64(9)} - toIntervalHour(1) AND Start < {before:DateTime64(9)} + toIntervalHour(1)
    GROUP BY TraceId
) AS spans USING TraceId
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {before:DateTime64(9)}
    AND has(Path.Most, 0)
ORDER BY Timestamp DESC, TraceId
LIMIT {limit:UInt32}
