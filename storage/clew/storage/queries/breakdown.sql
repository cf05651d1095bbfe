-- with span_times
-- Where the time of some traces went, by operation.
SELECT
    ServiceName AS service,
    SpanName AS operation,
    SpanKind AS kind,
    count() AS calls,
    sum(ended - began - covered) / 1e6 AS self_time_ms,
    sumIf(ended - began - chain.3, (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM paths)) / 1e6 AS critical_ms
FROM measured
GROUP BY service, operation, kind
ORDER BY self_time_ms DESC, service, operation, kind
LIMIT {limit:UInt32}
