-- The steps that the occurrences of a defined transaction reached, for all of them and for each group of them.
-- Step 0 is the entry, 1 the first step of the definition. since: the time since the step that the occurrence
-- reached before. Errors and lost value count for the last step that an occurrence reached.
-- A group is {unit} seconds of time, or a value of an attribute on the entry of the {most} newest occurrences.
WITH occurrences AS
(
    SELECT Timestamp, Start, End, EntryTraceId, EntrySpanId, EntryService, EntryOperation, IsError, Value,
        Step.Number AS numbers, Step.Start AS starts, Step.IsError AS failures
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction = {defined:String}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
),
entries AS
(
    SELECT TraceId, SpanId,
        any(if(
            mapContains(SpanAttributes, {attribute:String}),
            SpanAttributes[{attribute:String}],
            ResourceAttributes[{attribute:String}])) AS value
    FROM otel.otel_traces
    WHERE {by_attribute:Bool}
        AND (ServiceName, SpanName) IN (SELECT EntryService, EntryOperation FROM occurrences)
        AND TraceId IN (SELECT EntryTraceId FROM occurrences ORDER BY Timestamp DESC LIMIT {most:UInt32})
        AND Timestamp >= (SELECT min(Start) FROM occurrences) AND Timestamp <= (SELECT max(End) FROM occurrences)
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
        arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDD(0.01, 0.5, 0.95)(toUInt64(waited))) AS since,
        countIf(last AND IsError) AS errors,
        sumIf(Value, last AND IsError) AS lost,
        countIf(in_error) AS failed
    FROM
    (
        SELECT
            multiIf(
                {by_attribute:Bool}, entries.value,
                {unit:UInt32} = 0, '',
                clew_time(toStartOfInterval(
                    toDateTime(Timestamp), toIntervalSecond(greatest(1, {unit:UInt32}))))) AS `group`,
            IsError, Value, number, waited, in_error, last
        FROM occurrences
        LEFT JOIN entries ON entries.TraceId = EntryTraceId AND entries.SpanId = EntrySpanId
        ARRAY JOIN
            arrayPushFront(arrayMap(number -> toUInt16(number + 1), numbers), toUInt16(0)) AS number,
            arrayMap(
                (start, start_before) -> greatest(
                    0, toUnixTimestamp64Nano(start) - toUnixTimestamp64Nano(start_before)),
                arrayPushFront(starts, Timestamp),
                arrayPushFront(arrayPopBack(arrayPushFront(starts, Timestamp)), Timestamp)) AS waited,
            arrayPushFront(failures, false) AS in_error,
            arrayMap(place -> place > length(numbers), arrayEnumerate(arrayPushFront(numbers, 0))) AS last
    )
    GROUP BY GROUPING SETS ((`group`, number), (number))
)
GROUP BY `group`, whole
ORDER BY whole DESC, most DESC, `group`
LIMIT {limit:UInt32}
