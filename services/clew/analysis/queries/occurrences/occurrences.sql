-- The occurrences that a settling touched, made again from all traces with their keys: the rows of
-- clew_occurrences, in the order of its columns; and with IsDeleted those that are there.
WITH touched AS
(
    SELECT DISTINCT Transaction, Key
    FROM otel.clew_occurrence_traces
    WHERE Version IN ({version:UInt64}, {version:UInt64} + 1) AND Transaction IN {ids:Array(String)}
)
SELECT
    Transaction,
    fromUnixTimestamp64Nano(entries[1].1) AS Timestamp,
    Key,
    last.10 AS Environment,
    arrayMap(each -> each.2, arraySlice(traces, 1, 1000)) AS TraceIds,
    Start,
    End,
    working AS Working,
    last.3 AS EntryTraceId,
    last.2 AS EntrySpanId,
    last.4 AS EntryService,
    last.5 AS EntryOperation,
    last.6 AS EntryDuration,
    toUInt16(least(length(entries), 65535)) AS Attempts,
    -- the last attempt failed; or the root of its trace, if a step was reached there; or, where a step was
    -- reached apart from any attempt, the root of the latest such trace
    last.7 OR (last.8 AND last.9) OR arrayExists(
        (each, further) -> each.8 AND further != 0,
        apart,
        arrayPopFront(arrayPushBack(arrayDifference(arrayMap(each -> each.1, apart)), 1))) AS IsError,
    arrayFirst(each -> each != '', arrayMap(each -> each.4, asked)) AS User,
    arrayFirst(each -> isNotNull(each), arrayMap(each -> each.5, asked)) AS Value,
    Services,
    SpanCount,
    ErrorCount,
    arrayMap(each -> each.1, steps) AS StepNumber,
    arrayMap(each -> each.4, steps) AS StepService,
    arrayMap(each -> fromUnixTimestamp64Nano(each.2), steps) AS StepStart,
    arrayMap(each -> each.5, steps) AS StepDuration,
    arrayMap(each -> each.6, steps) AS StepIsError,
    arrayMap(each -> each.3, steps) AS StepTraceId,
    {version:UInt64} + 1 AS Version,
    0 AS IsDeleted
FROM
(
    SELECT
        Transaction,
        Key,
        min(trace.Start) AS Start,
        max(trace.End) AS End,
        toUInt32(least(sum(trace.SpanCount), 4294967295)) AS SpanCount,
        toUInt32(least(sum(trace.ErrorCount), 4294967295)) AS ErrorCount,
        arraySort(groupUniqArrayArray(arrayMap(service -> toString(service), trace.Services))) AS Services,
        -- an entry: start, span, trace, service, operation, duration, error, and of its trace the root's error,
        -- whether it has a step, and the environment
        arraySort(each -> (each.1, each.3, each.2), groupArrayArray(arrayMap(
            (start, span, service, operation, duration, error) -> (
                toUnixTimestamp64Nano(start), span, trace.TraceId, toString(service), toString(operation),
                duration, error, trace.RootIsError, has_step, toString(trace.Environment)),
            trace.Entry.Start, trace.Entry.SpanId, trace.Entry.Service, trace.Entry.Operation,
            trace.Entry.Duration, trace.Entry.IsError))) AS entries,
        entries[-1] AS last,
        arraySort(groupArray((
            toUnixTimestamp64Nano(trace.Start), trace.TraceId, is_apart, toString(trace.User), trace.Value))) AS traces,
        arraySort(each -> (each.2 != last.3, each.3, each.1, each.2),
            arrayFilter(each -> each.4 != '' OR isNotNull(each.5), traces)) AS asked,
        arraySort(each -> (each.1, each.2, each.3), groupArrayArray(arrayMap(
            (number, start, service, duration, error) -> (
                number, toUnixTimestamp64Nano(start), trace.TraceId, toString(service), duration, error,
                is_apart, trace.RootIsError),
            trace.Step.Number, trace.Step.Start, trace.Step.Service, trace.Step.Duration,
            trace.Step.IsError))) AS reached,
        arrayFilter(
            (each, further, n) -> n = 1 OR further != 0,
            reached,
            arrayDifference(arrayMap(each -> each.1, reached)),
            arrayEnumerate(reached)) AS steps,
        arrayFilter(each -> each.7, reached) AS apart,
        arraySort(groupArrayArray(arrayConcat(
            arrayMap(interval -> (interval.1, 0), trace.Busy),
            arrayMap(interval -> (interval.2, 1), trace.Busy)))) AS bounds,
        arrayCumSum(bound -> if(bound.2 = 0, 1, -1), bounds) AS running,
        toUInt64(arraySum(
            (bound, now) -> multiIf(now = 0, bound.1, bound.2 = 0 AND now = 1, -bound.1, 0),
            bounds, running)) AS working
    FROM
    (
        SELECT
            *,
            empty(Entry.SpanId) AS is_apart,
            notEmpty(Step.Number) AS has_step
        FROM otel.clew_occurrence_traces FINAL
        WHERE (Transaction, Key) IN touched
    ) AS trace
    GROUP BY Transaction, Key
    HAVING notEmpty(entries)
)
UNION ALL
SELECT
    Transaction, Timestamp, Key, '', [], Start, End, 0, '', '', '', '', 0, 0, false, '', NULL, [], 0, 0,
    [], [], [], [], [], [], {version:UInt64}, 1
FROM otel.clew_occurrences FINAL
WHERE Transaction IN {ids:Array(String)} AND (Transaction, Key) IN touched
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
