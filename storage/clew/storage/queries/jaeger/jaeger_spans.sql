-- The spans of some traces, trace by trace, as they are stored: api/jaeger_traces.py writes them in Jaeger's forms. Flat,
-- because it is planned in 4 ms; a statement that wrote those forms took 48. Attributes are pairs in an array: as an
-- object of JSON a map would lose a key that is in it twice.
SELECT
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    TraceState AS trace_state,
    SpanName AS name,
    SpanKind AS kind,
    ServiceName AS service,
    toUnixTimestamp64Nano(Timestamp) AS began,
    clew_duration(Duration) AS lasted,
    EndsBeforeStart AS ends_before_start,
    StatusCode AS status,
    StatusMessage AS status_message,
    ScopeName AS scope,
    ScopeVersion AS scope_version,
    CAST(ResourceAttributes, 'Array(Tuple(String, String))') AS resource_attributes,
    CAST(ScopeAttributes, 'Array(Tuple(String, String))') AS scope_attributes,
    CAST(SpanAttributes, 'Array(Tuple(String, String))') AS attributes,
    arrayMap(time -> toUnixTimestamp64Nano(time), Events.Timestamp) AS event_times,
    Events.Name AS event_names,
    CAST(Events.Attributes, 'Array(Array(Tuple(String, String)))') AS event_attributes,
    Links.TraceId AS link_trace_ids,
    Links.SpanId AS link_span_ids,
    Links.TraceState AS link_trace_states,
    CAST(Links.Attributes, 'Array(Array(Tuple(String, String)))') AS link_attributes,
    AttributeTypes AS attribute_types
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
ORDER BY trace_id
