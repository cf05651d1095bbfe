-- with diagnosed
-- Where the traces of both sets spent their time: of each operation the time in which none of its children ran, of each
-- link the time of its own (Call.Own), in nanoseconds. `a` and `b` are sums over the traces of a set: traces, calls, time,
-- the squares of time and calls and their product, from which the mean per call and its error follow; and failed calls.
-- A link has a target and its type (service, database, external, queue, consumed), and as operation the summary of a
-- statement.
SELECT
    service, operation, target, type,
    (countIf(is_a), sumIf(calls, is_a), sumIf(time, is_a), sumIf(time * time, is_a), sumIf(calls * calls, is_a),
        sumIf(time * calls, is_a), sumIf(failed, is_a)) AS a,
    (countIf(NOT is_a), sumIf(calls, NOT is_a), sumIf(time, NOT is_a), sumIf(time * time, NOT is_a),
        sumIf(calls * calls, NOT is_a), sumIf(time * calls, NOT is_a), sumIf(failed, NOT is_a)) AS b
FROM
(
    SELECT is_a, part.1 AS service, part.2 AS operation, part.3 AS target, part.4 AS type, part.5 AS calls, part.6 AS time,
        part.7 AS failed
    FROM
    (
        SELECT is_a, arrayJoin(arrayConcat(
            arrayMap(
                (service, operation, number, self, link) ->
                    (service, operation, '', '', toFloat64(number), toFloat64(self) - link, 0.),
                services, operations, calls, selves, links),
            arrayMap(
                (source, summary, target, type, own, failure) -> (source, type = 'database' ? summary : '', target, type, 1., toFloat64(own), failure ? 1. : 0.),
                sources, summaries, targets, types, owns, failures))) AS part
        FROM diagnosed
    )
)
GROUP BY service, operation, target, type
HAVING a.1 > 0
ORDER BY a.3 DESC, service, operation, target, type
LIMIT 2000
