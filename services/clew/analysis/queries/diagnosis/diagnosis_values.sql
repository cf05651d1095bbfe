-- with diagnosed
-- How the calls of the suspects differ by the values of their attributes: of each value, and of all calls (an empty key), how
-- many calls each set has, how long they took in nanoseconds, and how many failed; of an operation each. Identifiers of
-- requests and what an operation or its outcome is called are left out.
SELECT
    service, operation, source, key, value,
    countIf(is_a) AS a, sumIf(toFloat64(Duration), is_a) AS a_time, countIf(is_a AND failed) AS a_failed,
    countIf(NOT is_a) AS b, sumIf(toFloat64(Duration), NOT is_a) AS b_time, countIf(NOT is_a AND failed) AS b_failed
FROM
(
    SELECT service, operation, is_a, Duration, failed, item.1 AS source, item.2 AS key, item.3 AS value
    FROM
    (
        SELECT
            spans.ServiceName AS service, spans.SpanName AS operation, diagnosed.is_a AS is_a, spans.Duration AS Duration,
            clew_is_error(StatusCode) AS failed,
            arrayJoin(arrayConcat(
                [('', '', '')],
                arrayMap((key, value) -> ('span', toString(key), value), mapKeys(SpanAttributes), mapValues(SpanAttributes)),
                arrayMap((key, value) -> ('resource', toString(key), value), mapKeys(ResourceAttributes), mapValues(ResourceAttributes)))) AS item
        FROM otel.otel_traces AS spans
        INNER JOIN diagnosed ON spans.TraceId = diagnosed.TraceId
        WHERE spans.ServiceName IN {suspects:Array(String)}
            AND clew_is_entry_kind(SpanKind)
            AND modulo(cityHash64(spans.TraceId), {values_one_in:UInt32}) = 0
            AND ((spans.Timestamp >= {start:DateTime64(9)} AND spans.Timestamp < {end:DateTime64(9)} + toIntervalMinute(1))
                OR (spans.Timestamp >= {baseline_start:DateTime64(9)} AND spans.Timestamp < {baseline_end:DateTime64(9)} + toIntervalMinute(1)))
    )
    WHERE key = '' OR (NOT match(key, {identifiers:String}) AND NOT match(key, {descriptions:String}) AND length(value) <= 200)
)
GROUP BY service, operation, source, key, value
HAVING a >= 3
ORDER BY key = '' DESC, a_time DESC, service, operation, source, key, value
LIMIT 3000
