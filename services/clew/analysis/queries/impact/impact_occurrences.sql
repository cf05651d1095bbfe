-- What the occurrences of defined transactions were in a window (is_a) and in its baseline: those of some transactions, or all; with
-- a service or a dependency, those that touch it. worse: failed, or slower than the baseline's p95. bad: missing the objective, whose
-- latency in nanoseconds stands at the transaction's place in {latencies}. users_by_count: the numbers of occurrences that users had,
-- and how many users had each.
WITH
    chosen AS
    (
        SELECT
            toString(Transaction) AS transaction,
            Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AS is_a,
            User AS user,
            ifNull(occurrences.Value, 0) AS worth,
            IsError AS has_failed,
            EntryDuration AS duration,
            {latencies:Array(Float64)}[indexOf({ids:Array(String)}, transaction)] AS latency
        FROM otel.clew_occurrences AS occurrences FINAL
        WHERE Transaction IN {ids:Array(String)}
            AND (is_a OR (Timestamp >= {baseline_start:DateTime64(9)} AND Timestamp < {baseline_end:DateTime64(9)}))
            AND ({service:String} = '' OR has(Services, {service:String}))
            AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    ),
    usual AS
    (
        SELECT transaction, quantilesDD(0.01, 0.95)(duration)[1] AS slow FROM chosen WHERE NOT is_a GROUP BY transaction
    ),
    by_user AS
    (
        SELECT
            chosen.transaction AS id,
            is_a,
            user,
            count() AS n,
            countIf(has_failed) AS failed,
            countIf(has_failed OR duration > slow) AS worse,
            sum(duration) AS time,
            countIf(clew_is_satisfied(duration) AND NOT has_failed) AS satisfied,
            countIf(clew_is_tolerating(duration) AND NOT has_failed) AS tolerating,
            countIf(NOT clew_is_good(has_failed, duration, latency)) AS bad,
            sum(worth) AS value,
            sum(worth * worth) AS value_squares,
            sumIf(worth, has_failed) AS lost,
            sumIf(worth, NOT has_failed AND duration > slow) AS at_risk
        FROM chosen
        LEFT JOIN usual ON usual.transaction = chosen.transaction
        GROUP BY id, is_a, user
    )
SELECT
    id,
    is_a,
    sum(n) AS occurrences,
    sum(by_user.failed) AS failed,
    sum(by_user.worse) AS worse,
    sum(by_user.time) AS time,
    sum(by_user.satisfied) AS satisfied,
    sum(by_user.tolerating) AS tolerating,
    sum(by_user.bad) AS bad,
    countIf(user != '') AS users,
    countIf(user != '' AND by_user.worse > 0) AS users_worse,
    sumMapIf([n], [1::UInt64], user != '') AS users_by_count,
    sum(by_user.value) AS value,
    sum(by_user.value_squares) AS value_squares,
    sum(by_user.lost) AS lost,
    sum(by_user.at_risk) AS at_risk
FROM by_user
GROUP BY id, is_a
ORDER BY id, is_a
