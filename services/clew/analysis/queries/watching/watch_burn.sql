-- Occurrences of defined transactions, and bad ones, in each of the times (seconds) before {end}. In the order of
-- {ids} are {latencies}, the longest duration of a good occurrence, in nanoseconds.
SELECT
    toString(Transaction) AS id,
    toString(Environment) AS environment,
    sumForEach(arrayMap(window -> toUInt64(age <= window), {windows:Array(UInt32)})) AS totals,
    sumForEach(arrayMap(window -> toUInt64(age <= window AND NOT is_good), {windows:Array(UInt32)})) AS bad
FROM
(
    SELECT
        Transaction,
        Environment,
        toUnixTimestamp({end:DateTime}) - toUnixTimestamp(toDateTime(Timestamp)) AS age,
        clew_is_good(IsError, EntryDuration,
            transform(toString(Transaction), {ids:Array(String)}, {latencies:Array(Float64)}, inf)) AS is_good
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction IN {ids:Array(String)}
        AND Timestamp >= {end:DateTime} - toIntervalSecond(arrayMax({windows:Array(UInt32)})) AND Timestamp < {end:DateTime}
)
GROUP BY Transaction, Environment
