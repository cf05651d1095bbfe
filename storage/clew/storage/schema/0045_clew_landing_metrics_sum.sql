-- As clew_landing_metrics_gauge, for sums.
CREATE TABLE IF NOT EXISTS otel.clew_landing_metrics_sum
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
                sum Tuple(
                    data_points Array(Tuple(
                    start_time_unix_nano UInt64,
                    time_unix_nano UInt64,
                    as_double Float64,
                    exemplars Array(Tuple(
                        time_unix_nano UInt64, as_double Float64, span_id String, trace_id String,
                        as_int Int64, filtered_attributes Array(Tuple(key String, value String)))),
                    as_int Int64,
                    attributes Array(Tuple(key String, value String)),
                    flags UInt32)),
                    aggregation_temporality Int32,
                    is_monotonic Bool))),
            schema_url String)),
        schema_url String)),
    segment UInt64
)
ENGINE = Null
