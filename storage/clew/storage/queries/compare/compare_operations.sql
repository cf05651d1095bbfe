-- The calls and the self time of each operation in the traces of each sample, and how the self time of a call varies
-- between traces; traces of one occurrence as in compare_attributes. In the rows of traces, self is without the time of
-- links, which compare_links compares.
SELECT
    service,
    operation,
    kind,
    sumIf(calls, is_a) AS a_calls,
    sumIf(self, is_a) AS a_self,
    sumIf(calls, is_b) AS b_calls,
    sumIf(self, is_b) AS b_self,
    (countIf(is_a), avgIf((self - link) / calls, is_a), varSampIf((self - link) / calls, is_a)) AS a_moments,
    (countIf(is_b), avgIf((self - link) / calls, is_b), varSampIf((self - link) / calls, is_b)) AS b_moments
FROM
(
    SELECT transform(TraceId, {traces:Array(String)}, {units:Array(String)}, TraceId) AS unit,
        unit IN {a:Array(String)} AS is_a, unit IN {b:Array(String)} AS is_b,
        Path.Service AS services, Path.Operation AS operations, Path.Kind AS kinds, Path.Calls AS all_calls, Path.Self AS selves,
        Path.Link AS links
    FROM otel.clew_settled FINAL
    WHERE (TraceId IN {a:Array(String)} OR TraceId IN {b:Array(String)} OR TraceId IN {traces:Array(String)})
        AND ((Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)})
            OR (Timestamp >= {since_b:DateTime64(9)} AND Timestamp < {until_b:DateTime64(9)}))
)
ARRAY JOIN services AS service, operations AS operation, kinds AS kind, all_calls AS calls, selves AS self, links AS link
GROUP BY service, operation, kind
ORDER BY abs(a_self / {of_a:Float64} - b_self / {of_b:Float64}) DESC, a_self / {of_a:Float64} - b_self / {of_b:Float64} DESC, service, operation, kind
LIMIT {limit:UInt32}
