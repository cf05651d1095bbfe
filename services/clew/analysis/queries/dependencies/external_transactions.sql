-- What external hosts are of each transaction that calls them: its p95 with and without the time of the calls, its failures
-- and those in which a call to the host failed. Calls of a trace to one host count one after the other, so the part is the
-- greatest that it can be. Counts are scaled by OneIn.
WITH
    traces AS
    (
        SELECT
            toString(ServiceName) AS service,
            toString(SpanName) AS operation,
            settled.Duration AS total,
            settled.IsError AS has_failed,
            toUInt64(OneIn) AS weight,
            arrayFilter((_, type) -> type = 'external', Call.Target::Array(String), Call.Type) AS targets,
            arrayFilter((_, type) -> type = 'external', Call.Duration, Call.Type) AS durations,
            arrayFilter((_, type) -> type = 'external', Call.IsError, Call.Type) AS failures
        FROM otel.clew_settled AS settled FINAL
        WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AND Rank < 2
            AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    ),
    pairs AS
    (
        SELECT service, operation, groupUniqArrayArray(50)(targets) AS hosts
        FROM traces
        GROUP BY service, operation
        HAVING notEmpty(hosts)
    )
SELECT
    host,
    service,
    operation,
    clew_transaction_id(service, operation) AS id,
    sum(weight) AS traces,
    sumIf(weight, has(targets, host)) AS traces_with,
    sumIf(weight, has_failed) AS failures,
    sumIf(weight, has_failed AND arrayExists((target, is_error) -> target = host AND is_error, targets, traces.failures))
        AS failures_with,
    quantilesDD(0.01, 0.95)(total)[1] AS p95,
    quantilesDD(0.01, 0.95)(total - least(total, arraySum(
        (duration, target) -> if(target = host, duration, 0), durations, targets)))[1] AS p95_without
FROM traces
INNER JOIN pairs ON pairs.service = traces.service AND pairs.operation = traces.operation
ARRAY JOIN pairs.hosts AS host
WHERE host IN {hosts:Array(String)}
GROUP BY host, service, operation
ORDER BY traces_with DESC, host, service, operation
LIMIT {limit:UInt32}
