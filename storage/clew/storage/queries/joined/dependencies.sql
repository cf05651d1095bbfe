-- with settled
-- What the settled traces called: databases, external hosts, queues and services, with the caller and what was
-- called there. instances: how many occurrences have such a call, and failed_instances one in error; not weighted.
SELECT
    type,
    name,
    source,
    summary,
    sum(weight) AS calls,
    sumIf(weight, is_error) AS errors,
    uniqExactArray(keys) AS instances,
    uniqExactArrayIf(keys, is_error) AS failed_instances,
    sum(duration * weight) AS total_ns,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDD(0.01, 0.5, 0.95)(duration)) AS quantiles
FROM settled
ARRAY JOIN
    sources AS source, targets AS name, types AS type, summaries AS summary, durations AS duration,
    failures AS is_error
GROUP BY type, name, source, summary
ORDER BY total_ns DESC, type, name, source, summary
LIMIT {limit:UInt32}
