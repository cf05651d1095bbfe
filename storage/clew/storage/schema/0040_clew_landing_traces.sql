-- An ExportTraceServiceRequest as the reduced otlp.proto describes it. Null stores nothing: the
-- views below take each request apart while it is being inserted.
CREATE TABLE IF NOT EXISTS otel.clew_landing_traces
(
    resource_spans Array(Tuple(
        resource Tuple(attributes Array(Tuple(key String, value String))),
        scope_spans Array(Tuple(
            scope Tuple(name String, version String),
            spans Array(Tuple(
                trace_id String,
                span_id String,
                trace_state String,
                parent_span_id String,
                name String,
                kind Int32,
                start_time_unix_nano UInt64,
                end_time_unix_nano UInt64,
                attributes Array(Tuple(key String, value String)),
                events Array(Tuple(
                    time_unix_nano UInt64,
                    name String,
                    attributes Array(Tuple(key String, value String)))),
                links Array(Tuple(
                    trace_id String,
                    span_id String,
                    trace_state String,
                    attributes Array(Tuple(key String, value String)))),
                status Tuple(message String, code Int32))))))),
    segment UInt64
)
ENGINE = Null
