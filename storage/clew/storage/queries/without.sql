-- with settled
-- How many traces would have taken how long if an operation took no time on the critical path: changes to
-- the counts of durations in buckets that are 2 % wide (a power of 1.02, in nanoseconds). The row of kind
-- '(all)' has the counts themselves.
SELECT service, operation, kind, groupArray((bucket, traces)) AS counts
FROM
(
    SELECT step.1 AS service, step.2 AS operation, step.3 AS kind, moved.1 AS bucket, sum(moved.2) AS traces
    FROM
    (
        SELECT step, arrayJoin(if(step.3 = '(all)', [(before, toInt64(weight))], [(before, -toInt64(weight)), (after, toInt64(weight))])) AS moved
        FROM
        (
            SELECT weight, step,
                toUInt16(round(log(greatest(took, 1)) / log(1.02))) AS before,
                toUInt16(round(log(greatest(toInt64(took) - toInt64(step.4), 1)) / log(1.02))) AS after
            FROM settled
            ARRAY JOIN arrayPushFront(
                arrayFilter(x -> x.4 > 0, arrayZip(services, operations, kinds, criticals)), ('', '', '(all)', toUInt64(0))) AS step
            WHERE last
        )
    )
    GROUP BY service, operation, kind, bucket
)
GROUP BY service, operation, kind
