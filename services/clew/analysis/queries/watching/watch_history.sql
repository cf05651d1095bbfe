-- The hours of some series in a window, for baselines: the columns of each series as arrays, by ascending hour.
-- An empty `series` selects all. `levels`: for each hour the nanoseconds at
-- these places of Levels.
SELECT
    Series AS series,
    any(Kind) AS kind,
    any(Environment) AS environment,
    any(ServiceName) AS service,
    any(Name) AS name,
    groupArray(toUnixTimestamp(Hour)) AS hours,
    groupArray(Count) AS counts,
    groupArray(rows.Errors) AS errors,
    groupArray(arrayMap(place -> toFloat64(Levels[place]), {places:Array(UInt8)})) AS levels,
    groupArray(Value) AS values,
    groupArray(ValueLost) AS values_lost,
    groupArray(ValueSquares) AS squares,
    groupArray(Worst) AS worst
FROM
(
    SELECT Series, Kind, Environment, ServiceName, Name, Hour, Count, Errors, Levels, Value, ValueLost, ValueSquares, Worst
    FROM otel.clew_watch_1h FINAL
    WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
        AND (empty({series:Array(UInt64)}) OR Series IN {series:Array(UInt64)})
    ORDER BY Series, Hour
) AS rows
GROUP BY Series
