-- How many occurrences of defined transactions, and bad ones, lie in each of the times before {end} over which burn
-- rates are computed. {latencies}: the longest duration of a good occurrence in nanoseconds, in the order of {ids}.
-- A statement of its own: it is about days, and reads three columns where the counts of a window read ten.
-- (The burn rates themselves, clew_burn_rate, are computed in Python: here they took 2 ms more to plan than 9.)
SELECT
    Transaction AS id,
    [
        countIf(Timestamp >= {end:DateTime64(9)} - toIntervalSecond(clew_burn_windows()[1])),
        countIf(Timestamp >= {end:DateTime64(9)} - toIntervalSecond(clew_burn_windows()[2])),
        count()
    ] AS recent,
    [
        countIf(Timestamp >= {end:DateTime64(9)} - toIntervalSecond(clew_burn_windows()[1]) AND NOT good),
        countIf(Timestamp >= {end:DateTime64(9)} - toIntervalSecond(clew_burn_windows()[2]) AND NOT good),
        countIf(NOT good)
    ] AS recent_bad
FROM
(
    SELECT Transaction, Timestamp,
        clew_is_good(IsError, EntryDuration, transform(toString(Transaction), {ids:Array(String)}, {latencies:Array(Float64)}, inf)) AS good
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction IN {ids:Array(String)}
        AND Timestamp >= {end:DateTime64(9)} - toIntervalSecond(clew_burn_windows()[3])
        AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
)
GROUP BY Transaction
