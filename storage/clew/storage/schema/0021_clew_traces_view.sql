CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_traces_view TO otel.clew_traces AS
WITH clew_entry_key(clew_entry_rank(ParentSpanId, SpanKind), Timestamp) AS Key
SELECT
    TraceId,
    min(Timestamp) AS Start,
    fromUnixTimestamp64Nano(max(clew_end(Timestamp, Duration))) AS End,
    count() AS SpanCount,
    countIf(clew_is_error(StatusCode)) AS ErrorCount,
    groupUniqArray(toString(ServiceName)) AS Services,
    min(Key) AS EntryKey,
    argMinState(
        (SpanId, SpanName, Environment, clew_duration(Duration), clew_is_error(StatusCode),
         ServiceName),
        Key) AS Entry,
    max(InsertedAt) AS InsertedAt
FROM otel.otel_traces
WHERE TraceId != ''
GROUP BY TraceId
