-- The occurrences that a settling touched, computed again from all traces with their keys: the rows of
-- clew_occurrences, in the order of its columns. Rows with IsDeleted cancel the rows that are stored.
--
-- start and time are nanoseconds. The members that order an array stand first in its tuples.
WITH
    -- An entry, with what its trace says: whether the root failed, whether it reached a step, the environment.
    'Tuple(start Int64, trace_id String, span_id String, service String, operation String, duration UInt64,
        is_error Bool, root_is_error Bool, has_step UInt8, environment String)' AS entry_type,
    'Tuple(start Int64, trace_id String, is_apart UInt8, user String, value Nullable(Float64))' AS trace_type,
    'Tuple(number UInt8, start Int64, trace_id String, service String, duration UInt64, is_error Bool,
        is_apart UInt8, root_is_error Bool)' AS step_type,
    -- Where spans begin to run (change 1) and no span runs any more (change -1) in one of the traces.
    'Tuple(time Int64, change Int8)' AS bound_type,
touched AS
(
    SELECT DISTINCT Transaction, Key
    FROM otel.clew_occurrence_traces
    WHERE Version IN ({version:UInt64}, {version:UInt64} + 1) AND Transaction IN {ids:Array(String)}
),
-- is_apart: the trace carries the key without an entry of its own.
contributions AS
(
    SELECT
        *,
        empty(Entry.SpanId) AS is_apart,
        notEmpty(Step.Number) AS has_step
    FROM otel.clew_occurrence_traces FINAL
    WHERE (Transaction, Key) IN touched
),
-- One row for each key: what its traces contribute, put together.
keys AS
(
    SELECT
        Transaction,
        Key,
        min(trace.Start) AS Start,
        max(trace.End) AS End,
        toUInt32(least(sum(trace.SpanCount), 4294967295)) AS SpanCount,
        toUInt32(least(sum(trace.ErrorCount), 4294967295)) AS ErrorCount,
        arraySort(groupUniqArrayArray(arrayMap(service -> toString(service), trace.Services))) AS Services,
        arraySort(groupArrayArray(arrayMap(
            (start, span_id, service, operation, duration, is_error) -> CAST((
                toUnixTimestamp64Nano(start), trace.TraceId, span_id, service, operation, duration, is_error,
                trace.RootIsError, has_step, trace.Environment), entry_type),
            trace.Entry.Start, trace.Entry.SpanId, trace.Entry.Service, trace.Entry.Operation,
            trace.Entry.Duration, trace.Entry.IsError))) AS entries,
        arraySort(groupArray(CAST((
            toUnixTimestamp64Nano(trace.Start), trace.TraceId, is_apart, trace.User, trace.Value),
            trace_type))) AS traces,
        arraySort(groupArrayArray(arrayMap(
            (number, start, service, duration, is_error) -> CAST((
                number, toUnixTimestamp64Nano(start), trace.TraceId, service, duration, is_error,
                is_apart, trace.RootIsError), step_type),
            trace.Step.Number, trace.Step.Start, trace.Step.Service, trace.Step.Duration,
            trace.Step.IsError))) AS step_spans,
        groupArrayArray(arrayConcat(
            arrayMap(interval -> CAST((interval.1, 1), bound_type), trace.Busy),
            arrayMap(interval -> CAST((interval.2, -1), bound_type), trace.Busy))) AS bounds
    FROM contributions AS trace
    GROUP BY Transaction, Key
    HAVING notEmpty(entries)
),
decided AS
(
    SELECT
        *,
        -- the last attempt decides
        entries[-1] AS last_entry,
        -- the first span of each step
        arrayFilter(
            (step, repetition) -> repetition = 1,
            step_spans, arrayEnumerateUniq(step_spans.number)) AS steps,
        arrayReverse(arrayFilter(step -> step.is_apart, step_spans)) AS latest_apart,
        arraySort(bound -> (bound.time, -bound.change), bounds) AS sorted_bounds
    FROM keys
),
described AS
(
    SELECT
        *,
        -- the traces that say a user or a value: that of the last attempt first, then those with an entry
        arraySort(
            trace -> (trace.trace_id != last_entry.trace_id, trace.is_apart, trace.start, trace.trace_id),
            arrayFilter(trace -> trace.user != '' OR isNotNull(trace.value), traces)) AS describing,
        toUInt64(arraySum(
            (time, change, running) -> multiIf(running = 0, time, change = 1 AND running = 1, -time, 0),
            sorted_bounds.time, sorted_bounds.change, arrayCumSum(sorted_bounds.change))) AS working
    FROM decided
)
SELECT
    Transaction,
    fromUnixTimestamp64Nano(entries[1].start) AS Timestamp,
    Key,
    last_entry.environment AS Environment,
    arraySlice(traces.trace_id, 1, 1000) AS TraceIds,
    Start,
    End,
    working AS Working,
    last_entry.trace_id AS EntryTraceId,
    last_entry.span_id AS EntrySpanId,
    last_entry.service AS EntryService,
    last_entry.operation AS EntryOperation,
    last_entry.duration AS EntryDuration,
    toUInt16(least(length(entries), 65535)) AS Attempts,
    -- the last attempt failed; or its trace reached a step and the root failed; or the root failed of the latest
    -- trace that reached a step apart from any attempt
    last_entry.is_error OR (last_entry.root_is_error AND last_entry.has_step) OR arrayExists(
        (step, repetition) -> step.root_is_error AND repetition = 1,
        latest_apart, arrayEnumerateUniq(latest_apart.number)) AS IsError,
    arrayFirst(user -> user != '', describing.user) AS User,
    arrayFirst(value -> isNotNull(value), describing.value) AS Value,
    Services,
    SpanCount,
    ErrorCount,
    steps.number AS StepNumber,
    steps.service AS StepService,
    arrayMap(start -> fromUnixTimestamp64Nano(start), steps.start) AS StepStart,
    steps.duration AS StepDuration,
    steps.is_error AS StepIsError,
    steps.trace_id AS StepTraceId,
    {version:UInt64} + 1 AS Version,
    0 AS IsDeleted
FROM described
UNION ALL
SELECT
    Transaction, Timestamp, Key, '', [], Start, End, 0, '', '', '', '', 0, 0, false, '', NULL, [], 0, 0,
    [], [], [], [], [], [], {version:UInt64}, 1
FROM otel.clew_occurrences FINAL
WHERE Transaction IN {ids:Array(String)} AND (Transaction, Key) IN touched
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
