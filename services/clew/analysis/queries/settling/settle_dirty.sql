-- with settle_changed
-- The traces that a pass settles, each with the number of its chunk.
--
-- A chunk bounds a statement's memory and the rows that it reads: it holds traces of one hour, in the order of their
-- starts, of a limited weight (the work for a trace grows with the square of its spans). Traces longer than an hour
-- have chunks of their own, since they have more rows read. A large trace is a chunk by itself, and waits until it is
-- quiet.
--
-- Where more traces come in than are settled, one trace in one_in is sampled. A trace that has a row keeps its weight.
-- A trace without a row that began before thinned_until may have been left out by the earlier sampling: it is sampled
-- as it was then. Traces that are not sampled are in chunk 0.
,
sampled AS
(
    SELECT
        *,
        multiIf(
            settled.OneIn > 0, settled.OneIn,
            Start < {thinned_until:DateTime64(9)}, greatest({thinned:UInt16}, {one_in:UInt16}),
            {one_in:UInt16}) AS OneIn,
        settled.OneIn > 0 OR modulo(cityHash64(TraceId), OneIn) = 0 AS is_sampled,
        SpanCount > {large:UInt64} AS is_large
    FROM changed
    LEFT JOIN
    (
        SELECT TraceId, max(OneIn) AS OneIn
        FROM otel.clew_settled
        WHERE Timestamp < {thinned_until:DateTime64(9)} AND InsertedAt >= {thinned_since:DateTime}
        GROUP BY TraceId
    ) AS settled USING TraceId
    WHERE NOT is_large OR InsertedAt < {quiet_until:DateTime}
),
grouped AS
(
    SELECT
        *,
        (OneIn, if(is_large, TraceId, ''), End >= Start + toIntervalHour(1), toStartOfHour(Start)) AS chunk_key,
        sum(SpanCount + intDiv(SpanCount * SpanCount, 100)) OVER (
            PARTITION BY is_sampled, chunk_key ORDER BY Start, TraceId
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS weight
    FROM sampled
)
SELECT
    {of_pass:UInt64} AS Pass,
    if(
        is_sampled,
        dense_rank() OVER (ORDER BY NOT is_sampled, chunk_key, intDiv(weight, {chunk_weight:UInt64})),
        0) AS Chunk,
    TraceId, Start, End, SpanCount, OneIn
FROM grouped
