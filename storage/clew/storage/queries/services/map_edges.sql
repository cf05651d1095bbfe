-- Who called whom in some whole minutes: a row for each edge, and one for all that comes to a target
-- (is_node). Only what a minute's last version says counts.
SELECT
    grouping(Source) AS is_node,
    Source AS source,
    Target AS target,
    Type AS type,
    sum(edges.Calls) AS calls,
    sum(edges.Failed) AS errors,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(edges.Durations)) AS quantiles,
    max(edges.Longest) / 1e6 AS max,
    max(edges.OneIn) AS one_in
FROM
(
    SELECT Source, Target, Type, sum(Count) AS Calls, sum(Errors) AS Failed, max(DurationMax) AS Longest,
           quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch) AS Durations, max(minutes.OneIn) AS OneIn
    FROM otel.clew_edges_1m AS minutes
    WHERE Minute >= toDateTime({start:DateTime64(9)}) AND Minute < toDateTime({end:DateTime64(9)})
        AND (Source != '' OR Target != '')
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
        AND (Minute, Version) IN (
            SELECT Minute, max(Version) FROM otel.clew_edges_1m
            WHERE Minute >= toDateTime({start:DateTime64(9)}) AND Minute < toDateTime({end:DateTime64(9)})
            GROUP BY Minute)
    GROUP BY Source, Target, Type
) AS edges
GROUP BY GROUPING SETS ((Source, Target, Type), (Target, Type))
ORDER BY is_node, calls DESC, source, target, type
LIMIT {limit:UInt32} BY is_node
