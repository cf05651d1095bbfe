-- How far the occurrences of a defined transaction came: for all of them, and for each group of them, the
-- steps they reached. Number 0 is the entry, 1 the first step. Since is the time from the step before
-- that the occurrence reached. Errors and what was lost are put down to the last step that was reached.
-- Groups are by {unit} seconds of time, or by an attribute of the entry that counts, one of the {most}
-- newest occurrences.
WITH occurred AS
(
    SELECT Timestamp, Start, End, EntryTraceId, EntrySpanId, EntryService, EntryOperation, IsError, Value,
        Step.Number AS numbers, Step.Start AS starts, Step.IsError AS failures
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction = {defined:String}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
),
entered AS
(
    SELECT TraceId, SpanId,
        any(if(mapContains(SpanAttributes, {attribute:String}), SpanAttributes[{attribute:String}], ResourceAttributes[{attribute:String}])) AS value
    FROM otel.otel_traces
    WHERE {by_attribute:Bool}
        AND (ServiceName, SpanName) IN (SELECT EntryService, EntryOperation FROM occurred)
        AND TraceId IN (SELECT EntryTraceId FROM occurred ORDER BY Timestamp DESC LIMIT {most:UInt32})
        AND Timestamp >= (SELECT min(Start) FROM occurred) AND Timestamp <= (SELECT max(End) FROM occurred)
    GROUP BY TraceId, SpanId
)
SELECT
    `group`,
    whole,
    arraySort(groupArray((number, reached, since[1], since[2], errors, lost, failed)))
        ::Array(Tuple(number UInt16, reached UInt64, p50_ms Float64, p95_ms Float64, errors UInt64, lost Nullable(Float64), failed UInt64)) AS steps,
    max(reached) AS most
FROM
(
    SELECT
        `group`,
        grouping(`group`) = 1 AS whole,
        number,
        count() AS reached,
        arrayMap(x -> x / 1e6, quantilesDD(0.01, 0.5, 0.95)(toUInt64(waited))) AS since,
        countIf(last AND IsError) AS errors,
        sumIf(Value, last AND IsError) AS lost,
        countIf(in_error) AS failed
    FROM
    (
        SELECT
            if({by_attribute:Bool}, entered.value,
                if({unit:UInt32} = 0, '', clew_time(toStartOfInterval(toDateTime(Timestamp), toIntervalSecond(greatest(1, {unit:UInt32})))))) AS `group`,
            IsError, Value, step.1 AS number, step.2 AS waited, step.3 AS in_error, step.4 AS last
        FROM occurred
        LEFT JOIN entered ON entered.TraceId = EntryTraceId AND entered.SpanId = EntrySpanId
        ARRAY JOIN arrayMap(
            (number, at, before, failed, place) -> (
                number, greatest(0, toUnixTimestamp64Nano(at) - toUnixTimestamp64Nano(before)), failed, place = length(numbers) + 1),
            arrayPushFront(arrayMap(n -> toUInt16(n + 1), numbers), toUInt16(0)),
            arrayPushFront(starts, Timestamp),
            arrayPushFront(arrayPopBack(arrayPushFront(starts, Timestamp)), Timestamp),
            arrayPushFront(failures, false),
            arrayEnumerate(arrayPushFront(numbers, 0))) AS step
    )
    GROUP BY GROUPING SETS ((`group`, number), (number))
)
GROUP BY `group`, whole
ORDER BY whole DESC, most DESC, `group`
LIMIT {limit:UInt32}
