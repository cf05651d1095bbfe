-- with settled
-- Where the time of the traces went, by operation, in all traces and in the slow ones. The first row is that of
-- whole traces (kind `(all)`): its calls are the number of traces.
--
-- Where one trace in N was settled, a trace has the weight N. deviation and covariance are the terms of the variance
-- that this sampling causes. parts: the self times by slice of the window, where only slices of it are read.
-- instances: how many occurrences have the operation; it is not weighted.
-- without: how the counts of durations would change if the operation took no time on the critical path, in buckets
-- that are 2 % wide (powers of 1.02 nanoseconds); in the first row the counts themselves.
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
    uniqExactArray(keys) AS instances,
    sum(weight * (weight - 1) * pow(self, 2)) AS deviation,
    sum(weight * (weight - 1) * toFloat64(self) * whole) AS covariance,
    sumMapIf([slice], [self * weight], {sliced:Bool}) AS parts,
    sumMapIf([before, after], [if(kind = '(all)', 0, -toInt64(weight)), toInt64(weight)],
        last AND (critical > 0 OR kind = '(all)') AND {slower_than:Float64} < inf) AS without
FROM
(
    SELECT weight, slow, last, keys, slice, arraySum(selves) AS whole, service, operation, kind, called, self, critical,
        toUInt16(round(log(greatest(took, 1)) / log(1.02))) AS before,
        toUInt16(round(log(greatest(toInt64(took) - if(kind = '(all)', 0, toInt64(critical)), 1)) / log(1.02))) AS after
    FROM settled
    ARRAY JOIN
        arrayPushFront(services, '') AS service,
        arrayPushFront(operations, '') AS operation,
        arrayPushFront(kinds, '(all)') AS kind,
        arrayPushFront(calls, toUInt32(1)) AS called,
        arrayPushFront(selves, arraySum(selves)) AS self,
        arrayPushFront(criticals, arraySum(criticals)) AS critical
)
GROUP BY service, operation, kind
ORDER BY kind = '(all)' DESC, self_ns DESC, service, operation, kind
LIMIT {limit:UInt32}
