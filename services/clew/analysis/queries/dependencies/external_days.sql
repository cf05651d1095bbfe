-- The calls to external hosts in a window, whole minutes and a day at most, and at the same time of the seven days before:
-- a row for each host and day (0: the window). Only what a minute's last version says counts. quantiles: p50, p95 in ns.
WITH
    toUnixTimestamp({start:DateTime}) AS begin,
    toUnixTimestamp({end:DateTime}) AS finish
SELECT
    toString(Target) AS host,
    intDiv(finish - 1 - toUnixTimestamp(Minute), 86400) AS day,
    sum(minutes.Count) AS calls,
    sum(minutes.Errors) AS errors,
    quantilesDDMerge(0.01, 0.5, 0.95)(Sketch) AS quantiles,
    groupUniqArray(100)(toString(Source)) AS callers,
    max(minutes.OneIn) AS one_in
FROM otel.clew_edges_1m AS minutes
WHERE Type = 'external' AND Target != ''
    AND Minute >= {start:DateTime} - toIntervalDay(7) AND Minute < {end:DateTime}
    AND modulo(finish - 1 - toUnixTimestamp(Minute), 86400) < finish - begin
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND (Minute, Version) IN (
        SELECT Minute, max(Version) FROM otel.clew_edges_1m
        WHERE Minute >= {start:DateTime} - toIntervalDay(7) AND Minute < {end:DateTime}
            AND modulo(finish - 1 - toUnixTimestamp(Minute), 86400) < finish - begin
        GROUP BY Minute)
GROUP BY host, day
ORDER BY day, calls DESC, host
LIMIT {limit:UInt32} BY day
