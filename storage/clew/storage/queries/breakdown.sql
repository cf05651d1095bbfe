-- with settled
-- Where the time of the traces went, by operation, in all of them and in the slow ones. Where only one
-- trace in so many was settled, each stands for so many; deviation and covariance are the terms of the
-- variance that comes of it. The first row is that of the traces as wholes: calls are their number.
SELECT
    service,
    operation,
    kind,
    sum(called * weight) AS calls,
    sum(self * weight) / 1e6 AS self_time_ms,
    sum(critical * weight) / 1e6 AS critical_ms,
    sumIf(called * weight, slow) AS slow_calls,
    sumIf(self * weight, slow) / 1e6 AS slow_self_time_ms,
    sumIf(critical * weight, slow) / 1e6 AS slow_critical_ms,
    count() AS traces,
    sum(weight * (weight - 1) * pow(self / 1e6, 2)) AS deviation,
    sum(weight * (weight - 1) * (self / 1e6) * (whole / 1e6)) AS covariance
FROM
(
    SELECT weight, slow, arraySum(selves) AS whole,
        step.1 AS service, step.2 AS operation, step.3 AS kind, step.4 AS called, step.5 AS self, step.6 AS critical
    FROM settled
    ARRAY JOIN arrayPushFront(
        arrayZip(services, operations, kinds, calls, selves, criticals),
        ('', '', '(all)', toUInt32(1), arraySum(selves), arraySum(criticals))) AS step
)
GROUP BY service, operation, kind
ORDER BY kind = '(all)' DESC, self_time_ms DESC, service, operation, kind
LIMIT {limit:UInt32}
