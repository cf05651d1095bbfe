-- with settled
-- What the p95 would be if an operation took no time on the critical path. The durations are counted in
-- buckets that are 2 % wide; an operation moves those of the traces that waited for it to other buckets.
SELECT service, operation, kind, pow(1.02, reached) / 1e6 AS p95_without_ms
FROM
(
    WITH
        (SELECT sum(weight) FROM settled WHERE last) AS traces,
        (
            SELECT groupArray((bucket, total))
            FROM
            (
                SELECT toInt64(round(log(greatest(took, 1)) / log(1.02))) AS bucket, toInt64(sum(weight)) AS total
                FROM settled
                WHERE last
                GROUP BY bucket
            )
        ) AS every
    SELECT service, operation, kind,
        arraySort(x -> x.1, arrayConcat(every, groupArray((bucket, moved)))) AS counted,
        counted[arrayFirstIndex(n -> n >= 0.95 * traces, arrayCumSum(x -> x.2, counted))].1 AS reached
    FROM
    (
        SELECT service, operation, kind, move.1 AS bucket, sum(move.2) AS moved
        FROM
        (
            SELECT step.1 AS service, step.2 AS operation, step.3 AS kind,
                arrayJoin([
                    (toInt64(round(log(greatest(took, 1)) / log(1.02))), -toInt64(weight)),
                    (toInt64(round(log(greatest(toInt64(took) - toInt64(step.4), 1)) / log(1.02))), toInt64(weight))]) AS move
            FROM settled
            ARRAY JOIN arrayFilter(x -> x.4 > 0, arrayZip(services, operations, kinds, criticals)) AS step
            WHERE last
        )
        GROUP BY service, operation, kind, bucket
    )
    GROUP BY service, operation, kind
)
ORDER BY service, operation, kind
