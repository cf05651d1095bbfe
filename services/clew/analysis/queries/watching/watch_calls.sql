-- Which service calls which, in a window.
SELECT DISTINCT toString(Source) AS source, toString(Target) AS target
FROM otel.clew_edges_1m
WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime} AND Source != '' AND Target != '' AND Type != 'consumed'
LIMIT {limit:UInt32}
