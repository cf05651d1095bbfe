-- The steps that the occurrences of a defined transaction reached, for all of them and for each group of them.
-- Step 0 is the entry, 1 the first step of the definition. since: the time since the step that the occurrence
-- reached before. Errors and lost value count for the last step that an occurrence reached.
-- A group is {unit} seconds of time, or a value of an attribute that the {most} newest occurrences carry: on the
-- entry, else on another span, the first one, else on a log record of their traces.
WITH occurrences AS
(
    SELECT Timestamp, Key, TraceIds, Start, End, EntryTraceId, EntrySpanId, IsError, Value,
        Step.Number AS numbers, Step.Start AS starts, Step.IsError AS failures
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction = {defined:String}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
),
chosen AS
(
    SELECT Key, TraceIds, EntryTraceId, EntrySpanId
    FROM occurrences
    WHERE {by_attribute:Bool}
    ORDER BY Timestamp DESC, Key
    LIMIT {most:UInt32}
),
carried AS
(
    SELECT Key, argMin(value, (place, at)) AS value
    FROM
    (
        SELECT TraceId, place, at, value
        FROM
        (
            SELECT TraceId,
                if((TraceId, SpanId) IN (SELECT EntryTraceId, EntrySpanId FROM chosen), 0, 1) AS place,
                Timestamp AS at,
                if(mapContains(SpanAttributes, {attribute:String}), SpanAttributes, ResourceAttributes)[{attribute:String}] AS value
            FROM otel.otel_traces
            WHERE {by_attribute:Bool}
                AND TraceId IN (SELECT arrayJoin(TraceIds) FROM chosen)
                AND Timestamp >= (SELECT min(Start) FROM occurrences) AND Timestamp <= (SELECT max(End) FROM occurrences)
                AND (mapContains(SpanAttributes, {attribute:String}) OR mapContains(ResourceAttributes, {attribute:String}))
            UNION ALL
            SELECT TraceId, 2, Timestamp,
                if(mapContains(LogAttributes, {attribute:String}), LogAttributes, ResourceAttributes)[{attribute:String}]
            FROM otel.otel_logs
            WHERE {by_attribute:Bool}
                AND TraceId IN (SELECT arrayJoin(TraceIds) FROM chosen)
                AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes((SELECT min(Start) FROM occurrences)) - toIntervalMinute(5)
                AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes((SELECT max(End) FROM occurrences)) + toIntervalMinute(5)
                AND (mapContains(LogAttributes, {attribute:String}) OR mapContains(ResourceAttributes, {attribute:String}))
        )
        ORDER BY place, at
        LIMIT 1 BY TraceId
    ) AS carriers
    INNER JOIN (SELECT Key, arrayJoin(TraceIds) AS TraceId FROM chosen) AS parts ON parts.TraceId = carriers.TraceId
    GROUP BY Key
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
                {by_attribute:Bool}, carried.value,
                {unit:UInt32} = 0, '',
                clew_time(toStartOfInterval(
                    toDateTime(Timestamp), toIntervalSecond(greatest(1, {unit:UInt32}))))) AS `group`,
            IsError, Value, number, waited, in_error, last
        FROM occurrences
        LEFT JOIN carried ON carried.Key = occurrences.Key
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
