-- The rows that a chunk's traces have, taken back: the entry of a trace may be another now, and its row
-- stands by the entry. Where it is the same one, the new row has the greater version.
SELECT
    ServiceName,
    SpanName,
    Timestamp,
    TraceId,
    {version:UInt64} AS Version,
    1 AS IsDeleted
FROM otel.clew_settled AS settled
WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_settling
        WHERE Pass = {of_pass:UInt64} AND Chunk = {chunk:UInt32}
            AND modulo(cityHash64(TraceId), {parts:UInt64}) = {part:UInt64})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
GROUP BY ServiceName, SpanName, Timestamp, TraceId
HAVING NOT argMax(settled.IsDeleted, settled.Version)
