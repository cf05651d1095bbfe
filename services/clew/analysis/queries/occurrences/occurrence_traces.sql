-- What each trace contributes to the occurrences of each definition that it is a candidate for: the rows of
-- clew_occurrence_traces, in the order of its columns. Rows with IsDeleted cancel rows that an earlier settling
-- may have stored for the trace and that no longer hold.
--
-- From the step `traces` on, a row is one trace under one definition, and its spans and log records are arrays:
-- a window function or a join for each question would sort all spans again for each. Two rules keep the arrays
-- cheap. A lambda uses no array that is as long as the one it runs over, because what a lambda uses is copied for
-- every element. An expression that is used several times is a column of an earlier step, because an alias is
-- planned at every use. (A chain of steps is planned in 90 ms of CPU; the same steps as nested queries took 86.)
--
-- start, end and time are nanoseconds. In a definition '' means any.
WITH
    -- A span or log record under a definition. kind: `entry` is a span that matches the definition; `span` and
    -- `record` are a span and a log record that carry a key, a value or a user, without any other members.
    -- is_service_entry: the span is a root, or of kind server or consumer.
    'Tuple(key String, kind Enum8(''entry'', ''span'', ''record''), start Int64, span_id String, end Int64,
        service String, operation String, duration UInt64, is_error UInt8, environment String,
        value Nullable(Float64), user String, is_service_entry UInt8)' AS element_type,
    -- A span that matches a step of the definition. in_entry_service: the step asks for the entries' service.
    'Tuple(number UInt8, start Int64, span_id String, service String, duration UInt64, is_error UInt8,
        in_entry_service UInt8)' AS step_type,
    -- Where a span begins (change 1) or ends (change -1): the running sum of changes is how many spans run.
    'Tuple(time Int64, change Int8)' AS bound_type,
batch AS
(
    SELECT TraceId
    FROM otel.clew_candidates
    WHERE Pass = {of_pass:UInt64} AND Batch = {batch:UInt32}
),
candidates AS
(
    SELECT
        TraceId,
        arrayJoin(Definitions) AS definition_number,
        {definitions:Array(Tuple(
            id String, service String, operation String, attributes Array(Tuple(name String, value String)),
            key Array(Tuple(attribute String, expression String)),
            value Array(Tuple(attribute String, expression String)),
            user Array(Tuple(attribute String, expression String)),
            steps Array(Tuple(
                number UInt8, in_entry_service UInt8, service String, operation String,
                attributes Array(Tuple(name String, value String))))))}[definition_number] AS definition
    FROM otel.clew_candidates
    WHERE Pass = {of_pass:UInt64} AND Batch = {batch:UInt32}
),
-- The spans and log records of the batch's traces, with the attributes that definitions read.
records AS
(
    SELECT
        1 AS is_span,
        TraceId,
        SpanId,
        Timestamp,
        toUnixTimestamp64Nano(Timestamp) AS start,
        clew_end(Timestamp, Duration) AS end,
        clew_duration(Duration) AS duration,
        toString(ServiceName) AS service,
        toString(SpanName) AS operation,
        toString(Environment) AS environment,
        clew_is_error(StatusCode) AS is_error,
        -- the root of a trace is its first span of the least rank
        clew_entry_rank(ParentSpanId, SpanKind) AS rank,
        mapUpdate(
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), ResourceAttributes),
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), SpanAttributes)
        ) AS attributes
    FROM otel.otel_traces
    WHERE TraceId IN batch
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
    UNION ALL
    SELECT
        0, TraceId, SpanId, Timestamp, toUnixTimestamp64Nano(Timestamp), 0, 0, '', '', '', 0, 2,
        mapUpdate(
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), ResourceAttributes),
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), LogAttributes)
        ) AS attributes
    FROM otel.otel_logs
    WHERE TraceId IN batch
        AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({logs_start:DateTime64(9)})
        AND Timestamp >= {logs_start:DateTime64(9)} AND Timestamp <= {logs_end:DateTime64(9)}
        AND notEmpty(attributes)
),
-- Each record under each definition that its trace is a candidate for. A long key is cut, and a hash of the
-- whole key tells it apart.
applied AS
(
    SELECT
        *,
        is_span
            AND (definition.service = '' OR definition.service = service)
            AND (definition.operation = '' OR definition.operation = operation)
            AND arrayAll(pair -> attributes[pair.name] = pair.value, definition.attributes) AS is_match,
        clew_taken(attributes, definition.key) AS key_text,
        if(length(key_text) <= 256, key_text, concat(
            substringUTF8(key_text, 1, 64), '~', lower(hex(sipHash128(key_text))))) AS key,
        arrayFirst(number -> ifNull(isFinite(number), 0), arrayMap(
            source -> toFloat64OrNull(clew_taken(attributes, [source])), definition.value)) AS value,
        substringUTF8(clew_taken(attributes, definition.user), 1, 256) AS user,
        if(is_span, arrayFilter(
            step -> (step.service = '' OR step.service = service)
                AND (step.operation = '' OR step.operation = operation)
                AND arrayAll(pair -> attributes[pair.name] = pair.value, step.attributes),
            definition.steps), []) AS matched_steps
    FROM records
    INNER JOIN candidates USING (TraceId)
),
traces AS
(
    SELECT
        TraceId,
        any(definition.id) AS id,
        any(definition.service) AS definition_service,
        any(notEmpty(definition.key)) AS has_key,
        minIf(Timestamp, is_span) AS Start,
        minIf(start, is_span) AS trace_start,
        maxIf(end, is_span) AS trace_end,
        toUInt32(countIf(is_span)) AS span_count,
        toUInt32(countIf(is_span AND is_error)) AS error_count,
        arraySort(groupUniqArrayIf(service, is_span)) AS services,
        argMinIf(
            CAST((is_error, environment), 'Tuple(is_error UInt8, environment String)'),
            (rank, start, SpanId), is_span) AS root,
        groupArrayIf(CAST((start, end), 'Tuple(start Int64, end Int64)'), is_span) AS intervals,
        groupArrayIf(
            CAST((
                key, 'entry', start, SpanId, end, service, operation, duration, is_error, environment,
                value, user, rank < 2), element_type),
            is_match) AS matches,
        groupArrayIf(
            CAST((
                key, if(is_span, 'span', 'record'), start, SpanId, end, '', '', 0, 0, '',
                value, user, 0), element_type),
            key != '' OR user != '' OR isNotNull(value)) AS carriers,
        groupArrayArray(arrayMap(
            step -> CAST(
                (step.number, start, SpanId, service, duration, is_error, step.in_entry_service), step_type),
            matched_steps)) AS step_spans
    FROM applied
    GROUP BY definition_number, TraceId
    HAVING span_count > 0
),
-- The entries are the matching spans that are entries of services, or all matching spans where none is. A log
-- record counts from 5 minutes before the trace to 5 minutes after it.
trace_entries AS
(
    SELECT
        *,
        if(arrayExists(element -> element.is_service_entry, matches),
            arrayFilter(element -> element.is_service_entry, matches), matches) AS entries,
        arrayFilter(element -> element.kind = 'span' OR (
            element.start >= trace_start - 300000000000 AND element.start <= trace_end + 300000000000),
            carriers) AS near_carriers,
        arrayFilter(element -> element.key != '', near_carriers) AS keyed_carriers
    FROM traces
),
-- Every element with a key, and apart from them the carriers without one.
trace_keys AS
(
    SELECT
        * EXCEPT (intervals),
        -- the key of entries that have none: the first key on a span, else on a record, else the trace's id
        if(empty(keyed_carriers), TraceId, arraySort(
            element -> (element.kind, element.start, element.span_id, element.key),
            keyed_carriers)[1].key) AS fallback_key,
        arrayConcat(keyed_carriers, arrayMap(entry -> CAST((
            if(entry.key = '', fallback_key, entry.key), entry.kind, entry.start, entry.span_id, entry.end,
            entry.service, entry.operation, entry.duration, entry.is_error, entry.environment,
            entry.value, entry.user, 1), element_type), entries)) AS keyed,
        arraySort(
            element -> (element.start, element.span_id, element.value, element.user),
            arrayFilter(element -> element.key = '', near_carriers)) AS keyless,
        notEmpty(entries) AS has_entry,
        arrayDistinct(entries.service) AS entry_services,
        -- of the same time the beginnings come first
        arraySort(
            bound -> (bound.time, -bound.change),
            CAST(arrayConcat(
                arrayMap(time -> (time, 1), intervals.start),
                arrayMap(time -> (time, -1), intervals.end)), concat('Array(', bound_type, ')'))) AS bounds
    FROM trace_entries
),
trace_order AS
(
    SELECT
        *,
        arraySort(
            element -> (element.key, element.kind, element.start, element.span_id, element.value, element.user),
            keyed) AS sorted,
        arrayFirst(element -> element.kind = 'span' AND element.user != '', keyless).user AS span_user,
        arrayFirst(element -> element.kind = 'record' AND element.user != '', keyless).user AS record_user,
        arrayFirst(element -> element.kind = 'span' AND isNotNull(element.value), keyless).value AS span_value,
        arrayFirst(element -> element.kind = 'record' AND isNotNull(element.value), keyless).value AS record_value,
        arraySort(step -> (step.number, step.start, step.span_id), arrayFilter(
            step -> NOT step.in_entry_service OR multiIf(
                has_entry, has(entry_services, step.service),
                definition_service != '', step.service = definition_service,
                1), step_spans)) AS sorted_steps,
        arrayCumSum(bounds.change) AS span_counts
    FROM trace_keys
),
-- The elements grouped by key, the groups ordered by their first start; and what all keys of the trace share.
trace_groups AS
(
    SELECT
        *,
        arraySort(group -> (arrayMin(group.start), group[1].key), if(empty(sorted), [], arraySplit(
            (element, key, key_before) -> key != key_before,
            sorted, sorted.key, arrayRotateRight(sorted.key, 1)))) AS groups,
        -- (start, end) of each time in which spans run without a pause
        arrayZip(
            arrayFilter((time, change, spans) -> change = 1 AND spans = 1, bounds.time, bounds.change, span_counts),
            arrayFilter((time, spans) -> spans = 0, bounds.time, span_counts)) AS busy,
        -- the first span of each step
        arrayFilter(
            (step, repetition) -> repetition = 1,
            sorted_steps, arrayEnumerateUniq(sorted_steps.number)) AS steps
    FROM trace_order
),
-- A trace contributes to the keys of its entries; a trace without an entry contributes to all keys that it
-- carries. (A WHERE at the end, for keys that overflow, would be evaluated below the arrayJoin: 3 GB for a trace
-- of 10,000 keys.)
trace_contributions AS
(
    SELECT
        *,
        arrayFilter(
            group -> (NOT has_entry OR group[1].kind = 'entry')
                AND NOT has({overflowing:Array(Tuple(String, String))}, (id, group[1].key)),
            groups) AS contributing,
        arrayFilter(group -> has_entry AND group[1].kind != 'entry', groups) AS others,
        has_key
            AND NOT arrayExists(group -> group[1].key = TraceId, groups)
            AND (id, TraceId) IN (
                SELECT Transaction, TraceId
                FROM otel.clew_occurrence_traces
                WHERE Transaction IN {ids:Array(String)} AND Key IN batch
                    AND Key = TraceId) AS is_stored_by_id
    FROM trace_groups
),
-- One row for each key. The first 1,000 keys hold, of a trace without an entry the first 100. Rows of the other
-- keys may be stored from an earlier settling: they are cancelled.
contributions AS
(
    SELECT
        *,
        -- (key, elements, whether it holds)
        arrayJoin(arrayConcat(
            arrayMap(
                group -> (group[1].key, group, true),
                arraySlice(contributing, 1, if(has_entry, 1000, 100))),
            arrayMap(
                group -> (group[1].key, group, false),
                arraySlice(contributing, if(has_entry, 1001, 101), 1000)),
            arrayMap(group -> (group[1].key, group, false), arraySlice(others, 1, 1000)),
            if(is_stored_by_id, [(TraceId, [], false)], []))) AS contribution
    FROM trace_contributions
),
-- An entry that begins while one before it runs is part of that attempt. (Entries are in the order in which they
-- begin; of the same time the ends come first.)
attempts AS
(
    SELECT
        *,
        contribution.1 AS key,
        contribution.2 AS elements,
        contribution.3 AS holds,
        arrayFilter(element -> element.kind = 'entry', elements) AS key_entries,
        arraySort(
            (change, time) -> (time, change),
            arrayConcat(arrayMap(entry -> 1, key_entries), arrayMap(entry -> -1, key_entries)),
            arrayConcat(
                key_entries.start,
                arrayMap(entry -> greatest(entry.end, entry.start + 1), key_entries))) AS changes,
        arrayFilter(
            (entry, running) -> running = 1,
            key_entries,
            arrayFilter((running, change) -> change = 1, arrayCumSum(changes), changes)) AS attempts
    FROM contributions
)
SELECT
    id AS Transaction,
    key AS Key,
    TraceId,
    Start,
    fromUnixTimestamp64Nano(trace_end) AS End,
    if(notEmpty(attempts), attempts[1].environment, root.environment) AS Environment,
    attempts.span_id AS EntrySpanId,
    attempts.service AS EntryService,
    attempts.operation AS EntryOperation,
    arrayMap(start -> fromUnixTimestamp64Nano(start), attempts.start) AS EntryStart,
    attempts.duration AS EntryDuration,
    attempts.is_error AS EntryIsError,
    root.is_error AS RootIsError,
    span_count AS SpanCount,
    error_count AS ErrorCount,
    services AS Services,
    busy AS Busy,
    -- of the last attempt that has one, else of a span with this key, else of a span without a key, else of a
    -- log record in the same order
    arrayFirst(user -> user != '', arrayConcat(
        arrayReverse(attempts.user),
        arrayFilter(element -> element.kind = 'span', elements).user, [span_user],
        arrayFilter(element -> element.kind = 'record', elements).user, [record_user])) AS User,
    arrayFirst(value -> isNotNull(value), arrayConcat(
        arrayReverse(attempts.value),
        arrayFilter(element -> element.kind = 'span', elements).value, [span_value],
        arrayFilter(element -> element.kind = 'record', elements).value, [record_value])) AS Value,
    steps.number AS StepNumber,
    steps.service AS StepService,
    arrayMap(start -> fromUnixTimestamp64Nano(start), steps.start) AS StepStart,
    steps.duration AS StepDuration,
    steps.is_error AS StepIsError,
    {version:UInt64} + toUInt64(holds) AS Version,
    toUInt8(NOT holds) AS IsDeleted
FROM attempts
