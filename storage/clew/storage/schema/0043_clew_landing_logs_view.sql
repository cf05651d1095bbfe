CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_landing_logs_view TO otel.otel_logs AS
SELECT
    fromUnixTimestamp64Nano(reinterpretAsInt64(
        if(record.time_unix_nano != 0, record.time_unix_nano, record.observed_time_unix_nano))) AS Timestamp,
    clew_id(record.trace_id) AS TraceId,
    clew_id(record.span_id) AS SpanId,
    toUInt8(bitAnd(record.flags, 255)) AS TraceFlags,
    record.severity_text AS SeverityText,
    toUInt8(record.severity_number) AS SeverityNumber,
    ResourceAttributes['service.name'] AS ServiceName,
    clew_value(record.body) AS Body,
    ResourceSchemaUrl,
    ResourceAttributes,
    ScopeSchemaUrl,
    ScopeName,
    ScopeVersion,
    ScopeAttributes,
    clew_attributes(record.attributes) AS LogAttributes,
    record.event_name AS EventName,
    segment AS Segment
FROM
(
    SELECT segment, ResourceAttributes, ResourceSchemaUrl, scope_logs.schema_url AS ScopeSchemaUrl,
           scope_logs.scope.name AS ScopeName, scope_logs.scope.version AS ScopeVersion,
           clew_attributes(scope_logs.scope.attributes) AS ScopeAttributes,
           arrayJoin(scope_logs.log_records) AS record
    FROM
    (
        SELECT segment, clew_attributes(resource.resource.attributes) AS ResourceAttributes,
               resource.schema_url AS ResourceSchemaUrl, arrayJoin(resource.scope_logs) AS scope_logs
        FROM (SELECT segment, arrayJoin(resource_logs) AS resource FROM otel.clew_landing_logs)
    )
)
