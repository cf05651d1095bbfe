-- What the traces that begin with an operation cost in a window, on average: calls out of services, and milliseconds in
-- calls of databases and of all services together. Traces that were left out of settling count by OneIn.
SELECT
    sum(OneIn) AS requests,
    sum(OneIn * arrayCount(type -> type != 'consumed', Call.Type)) / requests AS calls,
    sum(OneIn * arraySum(arrayMap((type, ns) -> if(type = 'database', ns, 0), Call.Type, Call.Duration))) / requests / 1e6
        AS database_time_ms,
    sum(OneIn * arraySum(Path.Self)) / requests / 1e6 AS cost_ms
FROM otel.clew_settled FINAL
WHERE ServiceName = {service:String} AND ({name:String} = '' OR SpanName = {name:String})
    AND Environment = {environment:String} AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
