-- What the outline of one trace is made of: its spans by start. To be read with one thread: 100,000 spans are read and
-- sorted in 50 ms of CPU time, with two in 150. Texts are cut off after 200 characters; they are in dictionaries, where
-- the functions run once for each text. flags: 1 ends before it starts, 2 has events, 4 has links.
WITH (SELECT (min(Start), max(End)) FROM otel.clew_traces WHERE TraceId = {trace_id:String}) AS extent
SELECT
    SpanId AS id,
    ParentSpanId AS parent_id,
    toUnixTimestamp64Nano(Timestamp) AS began,
    clew_duration(Duration) AS lasted,
    toUInt8(EndsBeforeStart + 2 * notEmpty(Events.Name) + 4 * notEmpty(Links.TraceId)) AS flags,
    toValidUTF8(substringUTF8(ServiceName, 1, 200)) AS service,
    toValidUTF8(substringUTF8(SpanName, 1, 200)) AS name,
    SpanKind AS kind,
    StatusCode AS status,
    toValidUTF8(substringUTF8(toLowCardinality(ScopeName), 1, 200)) AS scope
FROM otel.otel_traces
WHERE TraceId = {trace_id:String} AND Timestamp >= extent.1 AND Timestamp <= extent.2
ORDER BY Timestamp, SpanId
LIMIT {limit:UInt32}
