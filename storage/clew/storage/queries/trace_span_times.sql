-- with span_times
SELECT
    SpanId AS span_id,
    (ended - began - covered) / 1e6 AS self_time_ms,
    (TraceId, SpanId) IN (SELECT TraceId, SpanId FROM paths) AS critical
FROM measured
