-- What the occurrences of a defined transaction cost in a window, on average: calls out of services and milliseconds in calls
-- of databases by trace, milliseconds of all services together by occurrence.
WITH ids AS
(
    SELECT TraceIds AS trace_ids
    FROM otel.clew_occurrences FINAL
    WHERE Transaction = {name:String} AND Environment = {environment:String}
        AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
)
SELECT
    (SELECT count() FROM ids) AS requests,
    sum(OneIn * arrayCount(type -> type != 'consumed', Call.Type)) / sum(OneIn) AS calls,
    sum(OneIn * arraySum(arrayMap((type, ns) -> if(type = 'database', ns, 0), Call.Type, Call.Duration))) / sum(OneIn) / 1e6
        AS database_time_ms,
    sum(OneIn * arraySum(Path.Self)) / requests / 1e6 AS cost_ms
FROM otel.clew_settled FINAL
WHERE TraceId IN (SELECT arrayJoin(trace_ids) FROM ids)
    -- Steps may come a while before and after the entry.
    AND Timestamp >= {start:DateTime} - INTERVAL 1 DAY AND Timestamp < {end:DateTime} + INTERVAL 1 DAY
