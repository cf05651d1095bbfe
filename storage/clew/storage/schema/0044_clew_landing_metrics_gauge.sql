-- An ExportMetricsServiceRequest as the reduced otlp.proto describes it, with its gauges alone: each
-- kind of metric has a landing table, and only those that a segment holds are inserted into. With one
-- table for all of them an insert of 512 points took 340 ms of CPU, most of it planning five views
-- over so large a type; three of these take 160.
CREATE TABLE IF NOT EXISTS otel.clew_landing_metrics_gauge
(
    resource_metrics Array(Tuple(
        resource Tuple(attributes Array(Tuple(key String, value String))),
        scope_metrics Array(Tuple(
            scope Tuple(
                name String,
                version String,
                attributes Array(Tuple(key String, value String)),
                dropped_attributes_count UInt32),
            metrics Array(Tuple(
                name String,
                description String,
                unit String,
                gauge Tuple(data_points Array(Tuple(
                    start_time_unix_nano UInt64,
                    time_unix_nano UInt64,
                    as_double Float64,
                    exemplars Array(Tuple(
                        time_unix_nano UInt64, as_double Float64, span_id String, trace_id String,
                        as_int Int64, filtered_attributes Array(Tuple(key String, value String)))),
                    as_int Int64,
                    attributes Array(Tuple(key String, value String)),
                    flags UInt32))))),
            schema_url String)),
        schema_url String)),
    segment UInt64
)
ENGINE = Null
