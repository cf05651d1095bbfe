-- The calls of each link in the traces of each sample, the time that they waited with no span below them running, and
-- how it varies between calls; traces of one occurrence as in compare_attributes.
SELECT
    source,
    target,
    type,
    countIf(is_a) AS a_calls,
    sumIf(own, is_a) AS a_own,
    countIf(is_b) AS b_calls,
    sumIf(own, is_b) AS b_own,
    (a_calls, avgIf(own, is_a), varSampIf(own, is_a)) AS a_moments,
    (b_calls, avgIf(own, is_b), varSampIf(own, is_b)) AS b_moments
FROM
(
    SELECT transform(TraceId, {traces:Array(String)}, {units:Array(String)}, TraceId) AS unit,
        unit IN {a:Array(String)} AS is_a, unit IN {b:Array(String)} AS is_b,
        Call.Source AS sources, Call.Target AS targets, Call.Type AS types, Call.Own AS owns
    FROM otel.clew_settled FINAL
    WHERE (TraceId IN {a:Array(String)} OR TraceId IN {b:Array(String)} OR TraceId IN {traces:Array(String)})
        AND ((Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)})
            OR (Timestamp >= {since_b:DateTime64(9)} AND Timestamp < {until_b:DateTime64(9)}))
)
ARRAY JOIN sources AS source, targets AS target, types AS type, owns AS own
GROUP BY source, target, type
ORDER BY abs(a_own / {of_a:Float64} - b_own / {of_b:Float64}) DESC, source, target, type
LIMIT {limit:UInt32}
