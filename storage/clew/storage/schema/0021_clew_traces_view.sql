CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_traces_view TO otel.clew_traces AS
SELECT
    TraceId,
    min(Timestamp) AS Start,
    max(Timestamp + toIntervalNanosecond(clew_duration(Duration))) AS End,
    count() AS SpanCount,
    countIf(StatusCode IN ('Error', 'STATUS_CODE_ERROR')) AS ErrorCount,
    groupUniqArray(toString(ServiceName)) AS Services,
    min((
        multiIf(ParentSpanId = '', 0,
                SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER'), 1,
                2),
        Timestamp,
        SpanId,
        toString(ServiceName),
        toString(SpanName),
        clew_environment(ResourceAttributes),
        clew_duration(Duration),
        StatusCode IN ('Error', 'STATUS_CODE_ERROR'))) AS Entry,
    max(InsertedAt) AS InsertedAt
FROM otel.otel_traces
WHERE TraceId != ''
GROUP BY TraceId
