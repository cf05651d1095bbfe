-- What some metrics' points say of them, where they were said last.
SELECT name, type, kinds.Unit AS unit, any(kinds.Description) AS description
FROM
(
    SELECT MetricName AS name, 'gauge' AS type, MetricUnit AS Unit, MetricDescription AS Description
    FROM otel.otel_metrics_gauge
    WHERE (MetricName, toUnixTimestamp(TimeUnix)) IN {last:Array(Tuple(String, UInt32))}
        AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
    UNION ALL
    SELECT MetricName, 'sum', MetricUnit, MetricDescription
    FROM otel.otel_metrics_sum
    WHERE (MetricName, toUnixTimestamp(TimeUnix)) IN {last:Array(Tuple(String, UInt32))}
        AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
    UNION ALL
    SELECT MetricName, 'histogram', MetricUnit, MetricDescription
    FROM otel.otel_metrics_histogram
    WHERE (MetricName, toUnixTimestamp(TimeUnix)) IN {last:Array(Tuple(String, UInt32))}
        AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
    UNION ALL
    SELECT MetricName, 'exponential_histogram', MetricUnit, MetricDescription
    FROM otel.otel_metrics_exponential_histogram
    WHERE (MetricName, toUnixTimestamp(TimeUnix)) IN {last:Array(Tuple(String, UInt32))}
        AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
    UNION ALL
    SELECT MetricName, 'summary', MetricUnit, MetricDescription
    FROM otel.otel_metrics_summary
    WHERE (MetricName, toUnixTimestamp(TimeUnix)) IN {last:Array(Tuple(String, UInt32))}
        AND TimeUnix >= {start:DateTime64(9)} AND TimeUnix < {end:DateTime64(9)}
) AS kinds
GROUP BY name, type, unit
