-- with settled
-- Where the time of the traces went, by operation, in all traces and in the slow ones, and (is_call) what they called:
-- databases, external hosts, queues and services (operation), by their type (kind), with the caller (service) and what was
-- called there (summary). One statement: it reads the traces once, 20 ms where two take 24. The first row is that of
-- whole traces (kind `(all)`): its calls are the number of traces.
--
-- Where one trace in N was settled, a trace has the weight N. deviation and covariance are the terms of the variance
-- that this sampling causes. parts: the self times by slice of the window, where only slices of it are read.
-- instances: how many occurrences have the operation or call, failed_instances have such a call in error; not weighted.
-- without: how the counts of durations would change if the operation took no time on the critical path, in buckets
-- that are 2 % wide (powers of 1.02 nanoseconds); in the first row the counts themselves. quantiles: of calls' durations.
SELECT
    is_call,
    service,
    operation,
    kind,
    summary,
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
        last AND (critical > 0 OR kind = '(all)') AND {slower_than:Float64} < inf) AS without,
    sumIf(weight, failed) AS errors,
    uniqExactArrayIf(keys, failed) AS failed_instances,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDIf(0.01, 0.5, 0.95)(self, is_call)) AS quantiles
FROM
(
    SELECT weight, slow, last, keys, slice, arraySum(selves) AS whole, is_call, service, operation, kind, summary, called, self, critical, failed,
        toUInt16(round(log(greatest(took, 1)) / log(1.02))) AS before,
        toUInt16(round(log(greatest(toInt64(took) - if(kind = '(all)', 0, toInt64(critical)), 1)) / log(1.02))) AS after
    FROM settled
    ARRAY JOIN
        arrayConcat([''], services, sources) AS service,
        arrayConcat([''], operations, targets) AS operation,
        arrayConcat(['(all)'], kinds, types) AS kind,
        arrayConcat(arrayWithConstant(1 + length(services), ''), summaries) AS summary,
        arrayConcat([1], calls, arrayWithConstant(length(sources), 1)) AS called,
        arrayConcat([arraySum(selves)], selves, durations) AS self,
        arrayConcat([arraySum(criticals)], criticals, arrayWithConstant(length(sources), 0)) AS critical,
        arrayConcat(arrayWithConstant(1 + length(services), false), failures) AS failed,
        arrayConcat(arrayWithConstant(1 + length(services), false), arrayWithConstant(length(sources), true)) AS is_call
)
GROUP BY is_call, service, operation, kind, summary
ORDER BY is_call, kind = '(all)' DESC, self_ns DESC, if(is_call, kind, service), operation, if(is_call, service, kind), summary
LIMIT {limit:UInt32} BY is_call
