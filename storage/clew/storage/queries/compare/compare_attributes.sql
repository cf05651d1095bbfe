-- In how many traces of each sample a value of an attribute stands on any span. Left out are values in fewer than
-- {least} traces of both samples, and the attributes by which the sets were chosen.
SELECT
    item.source AS source,
    item.key AS key,
    item.value AS value,
    countIf(is_a) AS a_count,
    countIf(is_b) AS b_count
FROM
(
    SELECT
        TraceId,
        TraceId IN {a:Array(String)} AS is_a,
        TraceId IN {b:Array(String)} AS is_b,
        arrayJoin(arrayDistinct(arrayConcat(
            groupUniqArrayArray(arrayMap(
                (key, value) -> ('span', toString(key), value),
                mapKeys(SpanAttributes), mapValues(SpanAttributes))),
            groupUniqArrayArray(arrayMap(
                (key, value) -> ('resource', toString(key), value),
                mapKeys(ResourceAttributes), mapValues(ResourceAttributes)))))
            ::Array(Tuple(source String, key String, value String))) AS item
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
