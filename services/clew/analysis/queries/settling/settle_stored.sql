-- The keys of the rows that a few traces have: settle_stale takes back those of a chunk.
SELECT
    ServiceName AS service,
    SpanName AS name,
    toUnixTimestamp64Nano(Timestamp) AS began,
    TraceId AS trace_id,
    toUnixTimestamp(now()) AS now
FROM otel.clew_settled AS settled
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
GROUP BY ServiceName, SpanName, Timestamp, TraceId
HAVING NOT argMax(settled.IsDeleted, settled.Version)
