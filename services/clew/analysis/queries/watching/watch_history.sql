-- The hours of some series in a window, for baselines: the columns of each series as arrays, by ascending hour.
-- An empty `series` selects all.
SELECT
    Series AS series,
    any(Kind) AS kind,
    any(Environment) AS environment,
    any(ServiceName) AS service,
    any(Name) AS name,
    groupArray(toUnixTimestamp(Hour)) AS hours,
    groupArray(Count) AS counts,
    groupArray(rows.Errors) AS errors,
    groupArray(toFloat64(P50)) AS p50,
    groupArray(toFloat64(P75)) AS p75,
    groupArray(toFloat64(P95)) AS p95,
    groupArray(Value) AS values,
    groupArray(ValueLost) AS values_lost
FROM
(
    SELECT Series, Kind, Environment, ServiceName, Name, Hour, Count, Errors, P50, P75, P95, Value, ValueLost
    FROM otel.clew_watch_1h FINAL
    WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
        AND (empty({series:Array(UInt64)}) OR Series IN {series:Array(UInt64)})
    ORDER BY Series, Hour
) AS rows
GROUP BY Series
