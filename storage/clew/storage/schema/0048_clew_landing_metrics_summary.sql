-- As clew_landing_metrics_gauge, for summaries.
CREATE TABLE IF NOT EXISTS otel.clew_landing_metrics_summary
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
                summary Tuple(data_points Array(Tuple(
                    start_time_unix_nano UInt64,
                    time_unix_nano UInt64,
                    count UInt64,
                    sum Float64,
                    quantile_values Array(Tuple(quantile Float64, value Float64)),
                    attributes Array(Tuple(key String, value String)),
                    flags UInt32))))),
            schema_url String)),
        schema_url String)),
    segment UInt64
)
ENGINE = Null
