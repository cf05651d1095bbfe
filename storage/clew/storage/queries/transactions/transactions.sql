-- with counted
-- The automatic transactions of a window, in any order.
SELECT
    clew_transaction_id(service, operation) AS id,
    ServiceName AS service,
    if(is_other, '(other)', SpanName) AS operation,
    sum(counted.Count) AS count,
    sum(counted.Errors) AS errors,
    sum(counted.Satisfied) AS satisfied,
    sum(counted.Tolerating) AS tolerating,
    sum(counted.DurationSum) AS total_ns,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(counted.Sketch)) AS quantiles,
    max(counted.DurationMax) / 1e6 AS max
FROM counted
GROUP BY service, operation
LIMIT {limit:UInt32}
