-- How far the settler has come. Without a row, from the oldest trace on.
SELECT
    Name AS name,
    argMax(Holder, settler.Version) AS holder,
    toFloat64(argMax(Until, settler.Version)) AS until,
    toFloat64(argMax(SettledUntil, settler.Version)) AS settled_until,
    max(settler.Version) AS version
FROM otel.clew_settler AS settler
GROUP BY Name
