-- The calls and the self time of each operation in the traces of each sample; traces of one occurrence as in
-- compare_attributes.
SELECT
    service,
    operation,
    kind,
    sumIf(calls, is_a) AS a_calls,
    sumIf(self, is_a) AS a_self,
    sumIf(calls, is_b) AS b_calls,
    sumIf(self, is_b) AS b_self
FROM
(
    SELECT transform(TraceId, {traces:Array(String)}, {units:Array(String)}, TraceId) AS unit,
        unit IN {a:Array(String)} AS is_a, unit IN {b:Array(String)} AS is_b,
        Path.Service AS services, Path.Operation AS operations, Path.Kind AS kinds, Path.Calls AS all_calls, Path.Self AS selves
    FROM otel.clew_settled FINAL
    WHERE (TraceId IN {a:Array(String)} OR TraceId IN {b:Array(String)} OR TraceId IN {traces:Array(String)})
        AND ((Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)})
            OR (Timestamp >= {since_b:DateTime64(9)} AND Timestamp < {until_b:DateTime64(9)}))
)
ARRAY JOIN services AS service, operations AS operation, kinds AS kind, all_calls AS calls, selves AS self
GROUP BY service, operation, kind
ORDER BY abs(a_self / {of_a:Float64} - b_self / {of_b:Float64}) DESC, a_self / {of_a:Float64} - b_self / {of_b:Float64} DESC, service, operation, kind
LIMIT {limit:UInt32}
