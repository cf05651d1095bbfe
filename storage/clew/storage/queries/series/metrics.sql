-- Which metrics there are, by name, type and unit (in the reverse order if {backwards}), and the time of the last point of each.
SELECT name, type, unit, arraySort(groupUniqArrayArray(kinds.Services)) AS services,
       max(kinds.IsMonotonic) AS is_monotonic, max(kinds.IsDelta) AS is_delta,
       toUnixTimestamp(max(kinds.Last)) AS last
FROM
(
    SELECT MetricName AS name, 'gauge' AS type, MetricUnit AS unit, groupUniqArray(toString(ServiceName)) AS Services,
        false AS IsMonotonic, false AS IsDelta, max(TimeUnix) AS Last
    FROM otel.otel_metrics_gauge
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND ({backwards:Bool} OR MetricName >= {after_id:String})
    GROUP BY MetricName, MetricUnit
    UNION ALL
    SELECT MetricName, 'sum', MetricUnit, groupUniqArray(toString(ServiceName)), max(IsMonotonic), max(AggregationTemporality = 1), max(TimeUnix)
    FROM otel.otel_metrics_sum
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND ({backwards:Bool} OR MetricName >= {after_id:String})
    GROUP BY MetricName, MetricUnit
    UNION ALL
    SELECT MetricName, 'histogram', MetricUnit, groupUniqArray(toString(ServiceName)), false, false, max(TimeUnix)
    FROM otel.otel_metrics_histogram
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND ({backwards:Bool} OR MetricName >= {after_id:String})
    GROUP BY MetricName, MetricUnit
    UNION ALL
    SELECT MetricName, 'exponential_histogram', MetricUnit, groupUniqArray(toString(ServiceName)), false, false, max(TimeUnix)
    FROM otel.otel_metrics_exponential_histogram
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND ({backwards:Bool} OR MetricName >= {after_id:String})
    GROUP BY MetricName, MetricUnit
    UNION ALL
    SELECT MetricName, 'summary', MetricUnit, groupUniqArray(toString(ServiceName)), false, false, max(TimeUnix)
    FROM otel.otel_metrics_summary
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND ({backwards:Bool} OR MetricName >= {after_id:String})
    GROUP BY MetricName, MetricUnit
) AS kinds
WHERE if({backwards:Bool},
        {after_id:String} = '' OR (name, type, unit) < ({after_id:String}, {after_type:String}, {after_unit:String}),
        (name, type, unit) > ({after_id:String}, {after_type:String}, {after_unit:String}))
    AND ({type:Nullable(String)} IS NULL OR type = {type:Nullable(String)})
    AND ({unit:Nullable(String)} IS NULL OR unit = {unit:Nullable(String)})
GROUP BY name, type, unit
ORDER BY if({backwards:Bool}, (name, type, unit), ('', '', '')) DESC, name, type, unit
LIMIT {limit:UInt32}
