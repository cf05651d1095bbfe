-- Which metrics there are, by name, and when each was said last: from the tables' keys and times alone.
SELECT name, type, arraySort(groupUniqArrayArray(kinds.Services)) AS services,
       max(kinds.IsMonotonic) AS is_monotonic, toUnixTimestamp(max(kinds.Last)) AS last
FROM
(
    SELECT MetricName AS name, 'gauge' AS type, groupUniqArray(toString(ServiceName)) AS Services, false AS IsMonotonic, max(TimeUnix) AS Last
    FROM otel.otel_metrics_gauge
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND MetricName >= {after_id:String}
    GROUP BY MetricName
    UNION ALL
    SELECT MetricName, 'sum', groupUniqArray(toString(ServiceName)), max(IsMonotonic), max(TimeUnix)
    FROM otel.otel_metrics_sum
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND MetricName >= {after_id:String}
    GROUP BY MetricName
    UNION ALL
    SELECT MetricName, 'histogram', groupUniqArray(toString(ServiceName)), false, max(TimeUnix)
    FROM otel.otel_metrics_histogram
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND MetricName >= {after_id:String}
    GROUP BY MetricName
    UNION ALL
    SELECT MetricName, 'exponential_histogram', groupUniqArray(toString(ServiceName)), false, max(TimeUnix)
    FROM otel.otel_metrics_exponential_histogram
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND MetricName >= {after_id:String}
    GROUP BY MetricName
    UNION ALL
    SELECT MetricName, 'summary', groupUniqArray(toString(ServiceName)), false, max(TimeUnix)
    FROM otel.otel_metrics_summary
    WHERE TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({name:Nullable(String)} IS NULL OR MetricName = {name:Nullable(String)})
        AND startsWith(MetricName, {prefix:String}) AND MetricName >= {after_id:String}
    GROUP BY MetricName
) AS kinds
WHERE (name, type) > ({after_id:String}, {after_type:String})
GROUP BY name, type
ORDER BY name, type
LIMIT {limit:UInt32}
