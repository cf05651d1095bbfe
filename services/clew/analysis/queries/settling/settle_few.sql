-- with settle_changed
-- The traces that a small pass settles, by the chunk that they are settled in, the newest first: settle_dirty divides
-- them alike. A large trace waits until it is quiet.
SELECT
    groupArray(TraceId) AS trace_ids,
    sum(SpanCount) AS spans,
    max(SpanCount) AS most_spans,
    toString(min(Start)) AS start,
    toString(max(End)) AS end
FROM changed
WHERE SpanCount <= {large:UInt64} OR InsertedAt < {quiet_until:DateTime}
GROUP BY End >= Start + toIntervalHour(1), toStartOfHour(Start)
ORDER BY max(Start) DESC
