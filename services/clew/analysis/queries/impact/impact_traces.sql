-- What the traces of automatic transactions were in a window (is_a) and in its baseline: those that touch a service, call a dependency,
-- or begin with an operation ('': any). Counts are scaled by OneIn.
SELECT
    clew_transaction_id(toString(ServiceName), toString(SpanName)) AS id,
    toString(ServiceName) AS service,
    toString(SpanName) AS operation,
    Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AS is_a,
    sum(toUInt64(OneIn)) AS occurrences,
    sumIf(toUInt64(OneIn), settled.IsError) AS failed,
    sum(settled.Duration * toUInt64(OneIn)) AS time,
    sumIf(toUInt64(OneIn), clew_is_satisfied(settled.Duration) AND NOT settled.IsError) AS satisfied,
    sumIf(toUInt64(OneIn), clew_is_tolerating(settled.Duration) AND NOT settled.IsError) AS tolerating,
    groupUniqArrayArray(100)(Services::Array(String)) AS services
FROM otel.clew_settled AS settled FINAL
WHERE Rank < 2
    AND (is_a OR (Timestamp >= {baseline_start:DateTime64(9)} AND Timestamp < {baseline_end:DateTime64(9)}))
    AND ({service:String} = '' OR has(Services, {service:String}))
    AND ({dependency:String} = '' OR has(Call.Target, {dependency:String}))
    AND ({entry_service:String} = '' OR ServiceName = {entry_service:String})
    AND ({operation:String} = '' OR SpanName = {operation:String})
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY ServiceName, SpanName, is_a
ORDER BY occurrences DESC, id, is_a
LIMIT {limit:UInt32}
