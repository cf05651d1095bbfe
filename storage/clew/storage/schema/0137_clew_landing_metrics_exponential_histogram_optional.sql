-- The sum, least and greatest value of a histogram are optional: without one the column is NULL.
ALTER TABLE otel.clew_landing_metrics_exponential_histogram
    MODIFY COLUMN resource_metrics Array(Tuple(
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
                exponential_histogram Tuple(data_points Array(Tuple(
                    attributes Array(Tuple(key String, value String)),
                    start_time_unix_nano UInt64,
                    time_unix_nano UInt64,
                    count UInt64,
                    sum Nullable(Float64),
                    scale Int32,
                    zero_count UInt64,
                    positive Tuple(offset Int32, bucket_counts Array(UInt64)),
                    negative Tuple(offset Int32, bucket_counts Array(UInt64)),
                    flags UInt32,
                    exemplars Array(Tuple(
                        time_unix_nano UInt64, as_double Float64, span_id String, trace_id String,
                        as_int Int64, filtered_attributes Array(Tuple(key String, value String)))),
                    min Nullable(Float64),
                    max Nullable(Float64))),
                    aggregation_temporality Int32))),
            schema_url String)),
        schema_url String))
