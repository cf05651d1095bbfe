-- The occurrences of a defined transaction in a window, those that are bad, and how many times the rate that spends the budget in its period that
-- is. {latency}: the longest duration of a good one, in nanoseconds; {budget}: the share that may be bad.
SELECT
    count() AS total,
    countIf(NOT clew_is_good(IsError, EntryDuration, {latency:Float64})) AS bad,
    bad / greatest(total, 1) / {budget:Float64} AS burn_rate
FROM otel.clew_occurrences FINAL
WHERE Transaction = {name:String} AND Environment = {environment:String}
    AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
