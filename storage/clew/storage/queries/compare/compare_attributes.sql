-- In how many traces of each sample a value of an attribute stands on any span. Left out are values in fewer than
-- {least} traces of both samples, the attributes by which the sets were chosen, and identifiers: those that are known
-- by their key ({identifiers}, a regular expression), and those of which most values occur once. Traces of one
-- occurrence ({traces}) count as one, as that of its entry ({units}). together: equal for values that stand on the
-- same spans.
SELECT source, key, value, a_count, b_count, toString(spans) AS together
FROM
(
    SELECT *,
        count() OVER (PARTITION BY source, key) AS values,
        sum(a_count + b_count) OVER (PARTITION BY source, key) AS carriers
    FROM
    (
        SELECT item.source AS source, item.key AS key, item.value AS value,
            countIf(unit IN {a:Array(String)}) AS a_count,
            countIf(unit IN {b:Array(String)}) AS b_count,
            groupBitXor(spans) AS spans
        FROM
        (
            SELECT transform(TraceId, {traces:Array(String)}, {units:Array(String)}, TraceId) AS unit,
                groupBitXor(sipHash64(TraceId, SpanId)) AS spans,
                arrayJoin(arrayConcat(
                    arrayMap((key, value) -> ('span', toString(key), value), mapKeys(SpanAttributes), mapValues(SpanAttributes)),
                    arrayMap((key, value) -> ('resource', toString(key), value), mapKeys(ResourceAttributes), mapValues(ResourceAttributes)))
                    ::Array(Tuple(source String, key String, value String))) AS item
            FROM otel.otel_traces
            WHERE (TraceId IN {a:Array(String)} OR TraceId IN {b:Array(String)} OR TraceId IN {traces:Array(String)})
                AND ((Timestamp >= {since:DateTime64(9)} - toIntervalHour(1) AND Timestamp < {until:DateTime64(9)} + toIntervalHour(1))
                    OR (Timestamp >= {since_b:DateTime64(9)} - toIntervalHour(1) AND Timestamp < {until_b:DateTime64(9)} + toIntervalHour(1)))
            GROUP BY unit, item
        )
        WHERE NOT has({chosen_by:Array(String)}, item.key) AND NOT match(item.key, {identifiers:String})
        GROUP BY source, key, value
    )
)
WHERE greatest(a_count, b_count) >= {least:UInt32}
    AND NOT (values > 10 AND 2 * values > carriers)
ORDER BY abs(a_count / {of_a:Float64} - b_count / {of_b:Float64}) DESC,
    a_count / {of_a:Float64} - b_count / {of_b:Float64} DESC, key, value, source
LIMIT {limit:UInt32}
