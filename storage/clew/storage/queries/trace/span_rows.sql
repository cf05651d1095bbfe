-- Spans of one trace, in no order. The columns before start are what its times are worked out from; those from
-- span_id on are passed on as they are written.
WITH (SELECT (min(Start), max(End)) FROM otel.clew_traces WHERE TraceId = {trace_id:String}) AS extent
SELECT
    ResourceAttributes['service.instance.id'] AS instance,
    toUnixTimestamp64Nano(Timestamp) AS began,
    clew_duration(Duration) AS lasted,
    EndsBeforeStart AS ends_before_start,
    clew_transaction_id(ServiceName, SpanName) AS transaction,
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    SpanName AS name,
    SpanKind AS kind,
    ServiceName AS service,
    StatusCode AS status,
    Timestamp AS start,
    StatusMessage AS status_message,
    ScopeName AS scope,
    SpanAttributes AS attributes,
    ResourceAttributes AS resource,
    nested(['time', 'name', 'attributes'], Events.Timestamp, Events.Name, Events.Attributes) AS events,
    nested(['trace_id', 'span_id', 'attributes'], Links.TraceId, Links.SpanId, Links.Attributes) AS links
FROM otel.otel_traces
WHERE TraceId = {trace_id:String} AND Timestamp >= extent.1 AND Timestamp <= extent.2
