-- with process_slots
-- The hours of what processes use in a window, whole hours: rows of clew_watch_1h. Value: the mean of the slots of five minutes; Levels: their
-- quantiles, as of watch_hours.sql.
SELECT
    toStartOfHour(slot) AS Hour,
    cityHash64('process', environment, service, metric) AS Series,
    'process' AS Kind,
    environment AS Environment,
    service AS ServiceName,
    metric AS Name,
    count() AS Count,
    0 AS Errors,
    quantilesExactInclusive(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
        0.98, 0.99)(value) AS Levels,
    avg(value) AS Value,
    0. AS ValueLost,
    0. AS ValueSquares,
    avg(worst) AS Worst,
    {version:UInt64} AS Version
FROM process_slots
GROUP BY Hour, environment, service, metric
