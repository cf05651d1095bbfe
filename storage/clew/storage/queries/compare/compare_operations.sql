-- What each operation did in the traces of either sample: calls, and time of its own.
SELECT
    part.1 AS service,
    part.2 AS operation,
    part.3 AS kind,
    sumIf(part.4, is_a) AS a_calls,
    sumIf(part.5, is_a) AS a_self,
    sumIf(part.4, is_b) AS b_calls,
    sumIf(part.5, is_b) AS b_self
FROM
(
    SELECT TraceId IN {a:Array(String)} AS is_a, TraceId IN {b:Array(String)} AS is_b,
           arrayJoin(arrayZip(Path.Service, Path.Operation, Path.Kind, Path.Calls, Path.Self)) AS part
    FROM otel.clew_settled FINAL
    WHERE (TraceId IN {a:Array(String)} OR TraceId IN {b:Array(String)})
        AND ((Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)})
            OR (Timestamp >= {since_b:DateTime64(9)} AND Timestamp < {until_b:DateTime64(9)}))
)
GROUP BY service, operation, kind
ORDER BY abs(a_self / {of_a:Float64} - b_self / {of_b:Float64}) DESC, service, operation, kind
LIMIT {limit:UInt32}
