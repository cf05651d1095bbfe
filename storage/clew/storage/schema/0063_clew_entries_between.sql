-- The occurrences of one automatic transaction between two times: one row for each.
CREATE VIEW IF NOT EXISTS otel.clew_entries_between AS
SELECT TraceId, SpanId, Timestamp, clew_duration(Duration) AS DurationNs,
       StatusCode IN ('Error', 'STATUS_CODE_ERROR') AS IsError,
       Environment
FROM otel.otel_traces
WHERE ServiceName = {service:String} AND SpanName = {operation:String} AND ParentSpanId = ''
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
UNION ALL
SELECT TraceId, Entry.SpanId AS SpanId, Timestamp, Entry.Duration AS DurationNs,
       Entry.IsError AS IsError, Entry.Environment AS Environment
FROM otel.clew_rootless_between(start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
WHERE ServiceName = {service:String} AND Entry.SpanName = {operation:String}
