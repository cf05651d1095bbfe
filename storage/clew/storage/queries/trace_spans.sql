-- Every span of one trace, in no order: a trace of 100,000 spans would be sorted in memory, whole. The
-- first columns, up to start, are what its times are worked out from; the rest goes on as it is written.
WITH (SELECT (min(Start), max(End)) FROM otel.clew_traces WHERE TraceId = {trace_id:String}) AS extent
SELECT
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    SpanKind AS kind,
    ServiceName AS service,
    ResourceAttributes['service.instance.id'] AS instance,
    StatusCode AS status,
    toUnixTimestamp64Nano(Timestamp) AS began,
    Duration AS lasted,
    SpanName AS name,
    clew_transaction_id(ServiceName, SpanName) AS transaction,
    Timestamp AS start,
    StatusMessage AS status_message,
    ScopeName AS scope,
    SpanAttributes AS attributes,
    ResourceAttributes AS resource,
    nested(['time', 'name', 'attributes'], Events.Timestamp, Events.Name, Events.Attributes) AS events,
    nested(['trace_id', 'span_id', 'attributes'], Links.TraceId, Links.SpanId, Links.Attributes) AS links
FROM otel.otel_traces
WHERE TraceId = {trace_id:String} AND Timestamp >= extent.1 AND Timestamp <= extent.2
LIMIT {limit:UInt32}
