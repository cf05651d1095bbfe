-- Occurrences of a defined transaction, and bad ones, by the minute of a window, as columns by environment. {latency}: the
-- longest duration of a good occurrence, in nanoseconds.
SELECT
    environment,
    groupArray(minute) AS minutes,
    groupArray(toFloat64(total)) AS totals,
    groupArray(toFloat64(bad)) AS bad_ones
FROM
(
    SELECT
        toString(Environment) AS environment,
        intDiv(toUnixTimestamp(clew_minute(Timestamp)) - toUnixTimestamp({start:DateTime}), 60) AS minute,
        count() AS total,
        countIf(NOT clew_is_good(IsError, EntryDuration, {latency:Float64})) AS bad
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction = {id:String} AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
    GROUP BY environment, minute
)
GROUP BY environment
