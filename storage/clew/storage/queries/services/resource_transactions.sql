-- The transactions that wait for a service: the part of their time that its operations are on the critical path.
SELECT
    clew_transaction_id(toString(ServiceName), toString(SpanName)) AS id,
    toString(ServiceName) AS service,
    toString(SpanName) AS operation,
    sum(OneIn) AS traces,
    sum(OneIn * arraySum((critical, name) -> if(name = {service:String}, critical, 0), Path.Critical, Path.Service))
        / greatest(1, sum(OneIn * settled.Duration)) AS critical_share
FROM otel.clew_settled AS settled FINAL
WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AND Rank < 2 AND has(Services, {service:String})
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY ServiceName, SpanName
ORDER BY critical_share * traces DESC, id
LIMIT {limit:UInt32}
