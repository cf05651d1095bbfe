-- Who called whom, and how often.
SELECT Source AS parent, Target AS child, sum(Count) AS callCount
FROM otel.clew_edges_1m
WHERE Minute >= toDateTime({start:DateTime64(9)}) AND Minute < toDateTime({end:DateTime64(9)})
    AND Source != '' AND Target != ''
    AND (Minute, Version) IN (
        SELECT Minute, max(Version) FROM otel.clew_edges_1m
        WHERE Minute >= toDateTime({start:DateTime64(9)}) AND Minute < toDateTime({end:DateTime64(9)})
        GROUP BY Minute)
GROUP BY parent, child
ORDER BY parent, child
LIMIT {limit:UInt32}
