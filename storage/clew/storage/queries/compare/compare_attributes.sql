-- In how many traces of either sample each value of each attribute is, on any span; those that are not in
-- {least} traces of one of them are left out, and so are the attributes that the sets were chosen by.
SELECT
    item.1 AS source,
    item.2 AS key,
    item.3 AS value,
    countIf(is_a) AS a_count,
    countIf(is_b) AS b_count
FROM
(
    SELECT
        TraceId,
        TraceId IN {a:Array(String)} AS is_a,
        TraceId IN {b:Array(String)} AS is_b,
        arrayJoin(arrayDistinct(arrayConcat(
            groupUniqArrayArray(arrayMap((k, v) -> ('span', toString(k), v), mapKeys(SpanAttributes), mapValues(SpanAttributes))),
            groupUniqArrayArray(arrayMap((k, v) -> ('resource', toString(k), v), mapKeys(ResourceAttributes), mapValues(ResourceAttributes)))))) AS item
    FROM otel.otel_traces
    WHERE (TraceId IN {a:Array(String)} OR TraceId IN {b:Array(String)})
        AND ((Timestamp >= {since:DateTime64(9)} - toIntervalHour(1) AND Timestamp < {until:DateTime64(9)} + toIntervalHour(1))
            OR (Timestamp >= {since_b:DateTime64(9)} - toIntervalHour(1) AND Timestamp < {until_b:DateTime64(9)} + toIntervalHour(1)))
    GROUP BY TraceId
)
WHERE NOT has({chosen_by:Array(String)}, key)
GROUP BY source, key, value
HAVING greatest(a_count, b_count) >= {least:UInt32}
ORDER BY abs(a_count / {of_a:Float64} - b_count / {of_b:Float64}) DESC, key, value, source
LIMIT {limit:UInt32}
