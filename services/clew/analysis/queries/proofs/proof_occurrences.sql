-- The numbers of the occurrences of a defined transaction in a window. {slow}: nanoseconds.
SELECT
    count() AS requests,
    requests / (toUnixTimestamp({end:DateTime}) - toUnixTimestamp({start:DateTime})) AS rate,
    countIf(IsError) AS failed,
    failed / requests AS error_rate,
    countIf(EntryDuration > {slow:Float64}) / requests AS slow_rate,
    arrayMap(ns -> ns / 1e6, quantilesDD(0.01, 0.5, 0.75, 0.95)(EntryDuration)) AS p50_p75_p95_ms,
    sumIf(ifNull(Value, 0), IsError) AS value_lost
FROM otel.clew_occurrences FINAL
WHERE Transaction = {name:String} AND Environment = {environment:String}
    AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
