-- Services that sent log records or data points in the window, and no span. By the names of its metrics a
-- service is known that runs the Python agent.
SELECT
    ServiceName AS service,
    sum(log_records) AS log_records,
    sum(points) AS points,
    max(runs_agent) AS runs_agent
FROM
(
    SELECT ServiceName, count() AS log_records, 0 AS points, false AS runs_agent
    FROM otel.otel_logs
    WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL
            OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
    GROUP BY ServiceName
    UNION ALL
    SELECT ServiceName, 0 AS log_records, count() AS points, max(startsWith(MetricName, 'cpython.')) AS runs_agent
    FROM
    (
        SELECT ServiceName, MetricName, TimeUnix, ResourceAttributes FROM otel.otel_metrics_gauge
        UNION ALL
        SELECT ServiceName, MetricName, TimeUnix, ResourceAttributes FROM otel.otel_metrics_sum
        UNION ALL
        SELECT ServiceName, MetricName, TimeUnix, ResourceAttributes FROM otel.otel_metrics_histogram
    )
    WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix < toDateTime({end:DateTime64(9)})
        AND ({environment:Nullable(String)} IS NULL
            OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
    GROUP BY ServiceName
)
WHERE ServiceName NOT IN ('', 'clew')
    AND ServiceName NOT IN
    (
        SELECT ServiceName
        FROM otel.clew_operations_1m
        WHERE Minute >= toStartOfMinute({start:DateTime64(9)}) AND Minute < {end:DateTime64(9)}
    )
GROUP BY service
ORDER BY service
LIMIT {limit:UInt32}
