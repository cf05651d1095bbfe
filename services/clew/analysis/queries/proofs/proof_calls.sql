-- The numbers of the calls of a service to a database, a queue or a host in a window.
SELECT
    sum(edges.Count) AS requests,
    requests / (toUnixTimestamp({end:DateTime}) - toUnixTimestamp({start:DateTime})) AS rate,
    sum(edges.Errors) AS failed,
    failed / requests AS error_rate,
    arrayMap(ns -> ns / 1e6, quantilesDDMerge(0.01, 0.5, 0.75, 0.95)(Sketch)) AS p50_p75_p95_ms
FROM otel.clew_edges_1m AS edges
WHERE Source = {service:String} AND Target = {name:String} AND Environment = {environment:String}
    AND Type IN ('database', 'external', 'queue')
    AND Minute >= {start:DateTime} AND Minute < {end:DateTime}
    AND (Minute, Version) IN (
        SELECT Minute, max(Version) FROM otel.clew_edges_1m
        WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
        GROUP BY Minute)
