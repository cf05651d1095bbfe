-- An ExportLogsServiceRequest as the reduced otlp.proto describes it.
CREATE TABLE IF NOT EXISTS otel.clew_landing_logs
(
    resource_logs Array(Tuple(
        resource Tuple(attributes Array(Tuple(key String, value String))),
        scope_logs Array(Tuple(
            scope Tuple(name String, version String, attributes Array(Tuple(key String, value String))),
            log_records Array(Tuple(
                time_unix_nano UInt64,
                severity_number Int32,
                severity_text String,
                body String,
                attributes Array(Tuple(key String, value String)),
                flags UInt32,
                trace_id String,
                span_id String,
                observed_time_unix_nano UInt64,
                event_name String)),
            schema_url String)),
        schema_url String)),
    segment UInt64
)
ENGINE = Null
