-- The occurrences that a settling touched: how many there are, the time range of all their traces, now and before
-- the settling, and the keys that more traces carry than one occurrence takes.
WITH touched AS
(
    SELECT DISTINCT Transaction, Key
    FROM otel.clew_occurrence_traces
    WHERE Version IN ({version:UInt64}, {version:UInt64} + 1) AND Transaction IN {ids:Array(String)}
)
SELECT
    count() AS occurrences,
    toString(min(start)) AS start,
    toString(max(end)) AS end,
    groupArrayIf((Transaction, Key), traces > {most:UInt64}) AS overflowing
FROM
(
    SELECT Transaction, Key, min(Start) AS start, max(End) AS end, uniqExact(TraceId) AS traces
    FROM otel.clew_occurrence_traces
    WHERE (Transaction, Key) IN touched
    GROUP BY Transaction, Key
)
