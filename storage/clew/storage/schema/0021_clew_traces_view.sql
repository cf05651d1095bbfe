CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_traces_view TO otel.clew_traces AS
WITH
    bitOr(
        bitShiftLeft(toUInt64(multiIf(
            ParentSpanId = '', 0,
            SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER'), 1,
            2)), 62),
        reinterpretAsUInt64(least(greatest(toUnixTimestamp64Nano(Timestamp), 0), 4611686018427387903))) AS Key
SELECT
    TraceId,
    min(Timestamp) AS Start,
    fromUnixTimestamp64Nano(max(clew_end(Timestamp, Duration))) AS End,
    count() AS SpanCount,
    countIf(StatusCode IN ('Error', 'STATUS_CODE_ERROR')) AS ErrorCount,
    groupUniqArray(toString(ServiceName)) AS Services,
    min(Key) AS EntryKey,
    argMinState(
        (SpanId, SpanName, Environment, clew_duration(Duration), StatusCode IN ('Error', 'STATUS_CODE_ERROR'),
         ServiceName),
        Key) AS Entry,
    max(InsertedAt) AS InsertedAt
FROM otel.otel_traces
WHERE TraceId != ''
GROUP BY TraceId
