-- In levels, so that what belongs to a resource is worked out once per resource, not once per span.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_landing_traces_view TO otel.otel_traces AS
SELECT
    fromUnixTimestamp64Nano(reinterpretAsInt64(span.start_time_unix_nano)) AS Timestamp,
    clew_id(span.trace_id) AS TraceId,
    clew_id(span.span_id) AS SpanId,
    clew_id(span.parent_span_id) AS ParentSpanId,
    span.trace_state AS TraceState,
    span.name AS SpanName,
    transform(span.kind, [0, 1, 2, 3, 4, 5],
              ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'], '') AS SpanKind,
    ServiceName,
    ResourceAttributes,
    ScopeName,
    ScopeVersion,
    clew_attributes(span.attributes) AS SpanAttributes,
    if(EndsBeforeStart, 0, clew_duration(toUInt64(span.end_time_unix_nano - span.start_time_unix_nano))) AS Duration,
    transform(span.status.code, [0, 1, 2], ['Unset', 'Ok', 'Error'], '') AS StatusCode,
    span.status.message AS StatusMessage,
    arrayMap(
        (time, start) -> fromUnixTimestamp64Nano(reinterpretAsInt64(if(time = 0, start, time))),
        span.events.time_unix_nano,
        arrayWithConstant(length(span.events.time_unix_nano), span.start_time_unix_nano)) AS `Events.Timestamp`,
    span.events.name AS `Events.Name`,
    arrayMap(event -> clew_attributes(event.attributes), span.events) AS `Events.Attributes`,
    arrayMap(link -> clew_id(link.trace_id), span.links) AS `Links.TraceId`,
    arrayMap(link -> clew_id(link.span_id), span.links) AS `Links.SpanId`,
    span.links.trace_state AS `Links.TraceState`,
    arrayMap(link -> clew_attributes(link.attributes), span.links) AS `Links.Attributes`,
    Environment,
    ServiceVersion,
    segment AS Segment,
    ScopeAttributes,
    toLowCardinality(translate(
        concat(
            shared_types,
            clew_type_bytes(span.attributes), '|',
            arrayStringConcat(arrayMap(event -> clew_type_bytes(event.attributes), span.events), ','), '|',
            arrayStringConcat(arrayMap(link -> clew_type_bytes(link.attributes), span.links), ',')),
        '\n\x10\x18!:\0', 'sbidye')) AS AttributeTypes,
    reinterpretAsInt64(span.end_time_unix_nano) < reinterpretAsInt64(span.start_time_unix_nano) AS EndsBeforeStart
FROM
(
    SELECT segment, ResourceAttributes, ServiceName, Environment, ServiceVersion,
           scope_spans.scope.name AS ScopeName, scope_spans.scope.version AS ScopeVersion,
           clew_attributes(scope_spans.scope.attributes) AS ScopeAttributes,
           concat(resource_types, '|', clew_type_bytes(scope_spans.scope.attributes), '|') AS shared_types,
           arrayJoin(scope_spans.spans) AS span
    FROM
    (
        SELECT segment, ResourceAttributes, resource_types,
               toLowCardinality(ResourceAttributes['service.name']) AS ServiceName,
               toLowCardinality(clew_environment(ResourceAttributes)) AS Environment,
               toLowCardinality(ResourceAttributes['service.version']) AS ServiceVersion,
               arrayJoin(scopes) AS scope_spans
        FROM
        (
            SELECT segment, resource.scope_spans AS scopes,
                   clew_attributes(resource.resource.attributes) AS ResourceAttributes,
                   clew_type_bytes(resource.resource.attributes) AS resource_types
            FROM (SELECT segment, arrayJoin(resource_spans) AS resource FROM otel.clew_landing_traces)
        )
    )
)
