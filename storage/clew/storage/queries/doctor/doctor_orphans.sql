-- Spans whose parent is not stored, by service, among one of {one_in} traces: those that entered a service, and
-- others, whose parent the same service had to send. Parents may have begun an hour earlier.
WITH
parents AS
(
    SELECT TraceId, SpanId
    FROM otel.otel_traces
    WHERE Timestamp >= {start:DateTime64(9)} - INTERVAL 1 HOUR AND Timestamp < {end:DateTime64(9)}
        AND modulo(cityHash64(TraceId), {one_in:UInt64}) = 0
)
SELECT
    ServiceName AS service,
    count() AS spans,
    countIf(clew_is_entry_kind(SpanKind)) AS entries,
    countIf(is_orphan AND clew_is_entry_kind(SpanKind)) AS orphan_entries,
    countIf(is_orphan AND NOT clew_is_entry_kind(SpanKind)) AS orphans
FROM
(
    SELECT ServiceName, SpanKind, ParentSpanId != '' AND (TraceId, ParentSpanId) NOT IN parents AS is_orphan
    FROM otel.otel_traces
    WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND modulo(cityHash64(TraceId), {one_in:UInt64}) = 0
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
GROUP BY service
ORDER BY orphans + orphan_entries DESC, service
LIMIT {limit:UInt32}
