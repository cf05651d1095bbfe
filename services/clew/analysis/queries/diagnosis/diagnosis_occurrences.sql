-- What the occurrences of a defined transaction lost in A and in B: how many there are, how many failed or were slower
-- than `slow` nanoseconds, whose they were, and what they are worth.
SELECT
    Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AS is_a,
    count() AS occurrences,
    countIf(IsError) AS failed,
    countIf(IsError OR EntryDuration > {slow:UInt64}) AS worse,
    uniqExactIf(User, User != '') AS users,
    uniqExactIf(User, User != '' AND (IsError OR EntryDuration > {slow:UInt64})) AS users_worse,
    sum(ifNull(Value, 0)) AS value,
    sumIf(ifNull(Value, 0), IsError) AS lost,
    sumIf(ifNull(Value, 0), NOT IsError AND EntryDuration > {slow:UInt64}) AS at_risk
FROM otel.clew_occurrences FINAL
WHERE Transaction = {transaction:String}
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND (is_a OR (Timestamp >= {baseline_start:DateTime64(9)} AND Timestamp < {baseline_end:DateTime64(9)}))
GROUP BY is_a
ORDER BY is_a
