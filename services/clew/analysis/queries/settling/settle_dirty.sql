-- The traces with spans that were inserted between two times and of which clew_settled does not say what
-- they are now; among them those that were quiet for a while and are looked at once more, and the traces in
-- `requeued`, which have lost spans. For each the chunk that it is settled in: so many spans, of one hour and one
-- after the other, that a statement's memory and what it has to read are bounded (what is worked out for a
-- trace grows with the square of its spans),
-- traces of more than an hour apart, for they have more rows read; a large one has a chunk to itself, and
-- waits until it is quiet.
--
-- Where more comes in than is settled, one trace in one_in is. A trace that has a row keeps its weight;
-- one without that began before thinned_until may have been passed over, and is drawn as it was then.
WITH
found AS
(
    SELECT
        TraceId,
        min(traces.Start) AS Start,
        max(traces.End) AS End,
        sum(traces.SpanCount) AS SpanCount,
        max(traces.InsertedAt) AS InsertedAt
    FROM otel.clew_traces AS traces
    WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE (InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime})
            OR (InsertedAt >= {quiet_since:DateTime} AND InsertedAt < {quiet_until:DateTime}))
        OR TraceId IN {requeued:Array(String)}
    GROUP BY TraceId
    HAVING (TraceId, SpanCount) NOT IN (
        SELECT TraceId, toUInt64(SpanCount) FROM otel.clew_settled
        WHERE InsertedAt >= {quiet_since:DateTime} AND NOT IsDeleted)
),
drawn AS
(
    SELECT
        *,
        multiIf(
            known.OneIn > 0, known.OneIn,
            Start < {thinned_until:DateTime64(9)}, greatest({thinned:UInt16}, {one_in:UInt16}),
            {one_in:UInt16}) AS OneIn,
        known.OneIn > 0 OR modulo(cityHash64(TraceId), OneIn) = 0 AS is_drawn,
        SpanCount > {large:UInt64} AS is_large
    FROM found
    LEFT JOIN
    (
        SELECT TraceId, max(OneIn) AS OneIn
        FROM otel.clew_settled
        WHERE Timestamp < {thinned_until:DateTime64(9)} AND InsertedAt >= {thinned_since:DateTime}
        GROUP BY TraceId
    ) AS known USING TraceId
    WHERE NOT is_large OR InsertedAt < {quiet_until:DateTime}
),
grouped AS
(
    SELECT
        *,
        (OneIn, if(is_large, TraceId, ''), End >= Start + toIntervalHour(1), toStartOfHour(Start)) AS together,
        sum(SpanCount + intDiv(SpanCount * SpanCount, 100)) OVER (
            PARTITION BY is_drawn, together ORDER BY Start, TraceId
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS weight
    FROM drawn
)
SELECT
    {of_pass:UInt64} AS Pass,
    if(is_drawn, dense_rank() OVER (ORDER BY NOT is_drawn, together, intDiv(weight, {chunk_weight:UInt64})), 0) AS Chunk,
    TraceId, Start, End, SpanCount, OneIn
FROM grouped
