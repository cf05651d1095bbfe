-- The chunks of a pass, the newest first.
SELECT
    Chunk AS number,
    count() AS traces,
    sum(SpanCount) AS spans,
    max(SpanCount) AS most_spans,
    max(OneIn) AS one_in,
    toString(min(Start)) AS start,
    toString(max(End)) AS end
FROM otel.clew_settling
WHERE Pass = {of_pass:UInt64}
GROUP BY Chunk
ORDER BY max(Start) DESC
