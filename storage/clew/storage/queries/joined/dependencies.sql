-- with settled
-- What the traces called: databases, external hosts, queues and services, by whom and how. Times are of
-- the settled traces alone.
SELECT
    call.3 AS type,
    call.2 AS name,
    call.1 AS source,
    call.4 AS summary,
    sum(weight) AS calls,
    sumIf(weight, call.6) AS errors,
    sum(call.5 * weight) AS total_ns,
    arrayMap(x -> x / 1e6, quantilesDD(0.01, 0.5, 0.95)(call.5)) AS quantiles
FROM settled
ARRAY JOIN arrayZip(sources, targets, types, summaries, durations, failures) AS call
GROUP BY type, name, source, summary
ORDER BY total_ns DESC, type, name, source, summary
LIMIT {limit:UInt32}
