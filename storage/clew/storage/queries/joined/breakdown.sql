-- with settled
-- Where the time of the traces went, by operation, in all of them and in the slow ones. Where only one
-- trace in so many was settled, each stands for so many; deviation and covariance are the terms of the
-- variance that comes of it, parts the self times by slice of the window, where not all of it is read. The
-- first row is that of the traces as wholes: calls are their number.
-- Without has the changes to the counts of durations if the operation took no time on the critical path, in
-- buckets that are 2 % wide (a power of 1.02, in nanoseconds); of the first row the counts themselves.
SELECT
    service,
    operation,
    kind,
    sum(called * weight) AS calls,
    sum(self * weight) AS self_ns,
    sum(critical * weight) AS critical_ns,
    sumIf(called * weight, slow) AS slow_calls,
    sumIf(self * weight, slow) AS slow_self_ns,
    sumIf(critical * weight, slow) AS slow_critical_ns,
    count() AS traces,
    sum(weight * (weight - 1) * pow(self, 2)) AS deviation,
    sum(weight * (weight - 1) * toFloat64(self) * whole) AS covariance,
    sumMapIf([slice], [self * weight], {sliced:Bool}) AS parts,
    sumMapIf([before, after], [if(kind = '(all)', 0, -toInt64(weight)), toInt64(weight)],
        last AND (critical > 0 OR kind = '(all)') AND {slower_than:Float64} < inf) AS without
FROM
(
    SELECT weight, slow, last, slice, arraySum(selves) AS whole,
        step.1 AS service, step.2 AS operation, step.3 AS kind, step.4 AS called, step.5 AS self, step.6 AS critical,
        toUInt16(round(log(greatest(took, 1)) / log(1.02))) AS before,
        toUInt16(round(log(greatest(toInt64(took) - if(kind = '(all)', 0, toInt64(critical)), 1)) / log(1.02))) AS after
    FROM settled
    ARRAY JOIN arrayPushFront(
        arrayZip(services, operations, kinds, calls, selves, criticals),
        ('', '', '(all)', toUInt32(1), arraySum(selves), arraySum(criticals))) AS step
)
GROUP BY service, operation, kind
ORDER BY kind = '(all)' DESC, self_ns DESC, service, operation, kind
LIMIT {limit:UInt32}
