-- What each trace contributes to the occurrences of each definition that it is a candidate for: the rows of
-- clew_occurrence_traces, in the order of its columns; and with IsDeleted those that may be there from before
-- and no longer hold.
--
-- A definition: 1 id, 2 service, 3 operation, 4 attributes, 5 key, 6 value, 7 user, 8 steps; a step: 1 number,
-- 2 whether it is an operation of the entry's service, 3 service, 4 operation, 5 attributes. '' is any.
-- A trace is decided at once, over arrays of its spans: a window function or a join for each question would
-- sort all spans again for each. No lambda may use an array as long as the one it runs over: what it uses is
-- copied for every element.
SELECT
    definition.1 AS Transaction,
    row.1 AS Key,
    TraceId,
    Start,
    fromUnixTimestamp64Nano(end_ns) AS End,
    if(notEmpty(own), own[1].8, environment) AS Environment,
    arrayMap(each -> each.2, attempts) AS EntrySpanId,
    arrayMap(each -> each.4, attempts) AS EntryService,
    arrayMap(each -> each.5, attempts) AS EntryOperation,
    arrayMap(each -> fromUnixTimestamp64Nano(each.1), attempts) AS EntryStart,
    arrayMap(each -> each.6, attempts) AS EntryDuration,
    arrayMap(each -> each.7, attempts) AS EntryIsError,
    root_is_error AS RootIsError,
    span_count AS SpanCount,
    error_count AS ErrorCount,
    services AS Services,
    busy AS Busy,
    -- of the last entry that has one; else of the first other span with this key or none; else of a record
    arrayFirst(each -> each != '', arrayConcat(
        arrayReverse(arrayMap(each -> each.11, attempts)), arrayMap(each -> each.6, asked))) AS User,
    arrayFirst(each -> isNotNull(each), arrayConcat(
        arrayReverse(arrayMap(each -> each.10, attempts)), arrayMap(each -> each.5, asked))) AS Value,
    arrayMap(each -> each.1, steps) AS StepNumber,
    arrayMap(each -> each.4, steps) AS StepService,
    arrayMap(each -> fromUnixTimestamp64Nano(each.2), steps) AS StepStart,
    arrayMap(each -> each.5, steps) AS StepDuration,
    arrayMap(each -> each.6, steps) AS StepIsError,
    {version:UInt64} + toUInt64(1 - row.2) AS Version,
    row.2 AS IsDeleted
FROM
(
    SELECT
        * EXCEPT (entries, items),
        arraySort(arrayFilter(each -> each.9 = row.1, entries)) AS own,
        -- a span that matches and begins while one before it runs is part of that attempt
        arraySort(edge -> (edge.1, edge.2, edge.3.1, edge.3.2), arrayConcat(
            arrayMap(each -> (each.1, 1, each), own),
            arrayMap(each -> (greatest(each.3, each.1 + 1), 0, each), own))) AS edges,
        arrayMap(edge -> edge.3, arrayFilter(
            (edge, running) -> edge.2 = 1 AND running = 1,
            edges,
            arrayCumSum(edge -> if(edge.2 = 1, 1, -1), edges))) AS attempts,
        -- what carries another key is not asked
        arraySort(each -> (each.1, each.4 != row.1, each.2, each.3, each.5, each.6),
            arrayFilter(each -> each.4 IN ('', row.1) AND (each.6 != '' OR isNotNull(each.5)), items)) AS asked
    FROM
    (
        SELECT
            *,
            arrayJoin(arrayConcat(
                arrayMap(key -> (key, 0), keys),
                arrayMap(key -> (key, 1), stale))) AS row
        FROM
        (
            SELECT
                D,
                definition,
                TraceId,
                Start,
                end_ns,
                root.1 AS root_is_error,
                root.2 AS environment,
                span_count,
                error_count,
                services,
                arrayConcat(spans, arrayFilter(
                    each -> each.2 >= start_ns - 300000000000 AND each.2 <= end_ns + 300000000000,
                    records)) AS items,
                arrayFilter(each -> each.4 != '', items) AS with_key,
                -- the first that is found on a span, else on a record, else the trace itself
                if(empty(with_key), TraceId,
                    arraySort(each -> (each.1, each.2, each.3, each.4), with_key)[1].4) AS fallback,
                arraySlice(arrayDistinct(arrayMap(
                    each -> each.4, arraySort(each -> (each.2, each.3, each.4), with_key))), 1, 1000) AS carried,
                if(arrayExists(each -> each.12, matched), arrayFilter(each -> each.12, matched), matched) AS best,
                arrayMap(each -> (each.1, each.2, each.3, each.4, each.5, each.6, each.7, each.8,
                    if(each.9 = '', fallback, each.9), each.10, each.11), best) AS entries,
                if(notEmpty(entries),
                    arraySlice(arrayDistinct(arrayMap(
                        each -> each.9, arraySort(each -> (each.1, each.2, each.9), entries))), 1, 1000),
                    arraySlice(carried, 1, 100)) AS all_keys,
                arrayFilter(
                    key -> NOT has({overflowing:Array(Tuple(String, String))}, (definition.1, key)),
                    all_keys) AS keys,
                arrayFilter(key -> NOT has(all_keys, key), if(
                    notEmpty(definition.5) AND (definition.1, TraceId) IN (
                        SELECT Transaction, TraceId
                        FROM otel.clew_occurrence_traces
                        WHERE Transaction IN {ids:Array(String)} AND Key IN {traces:Array(String)}
                            AND Key = TraceId),
                    arrayPushBack(carried, TraceId), carried)) AS stale,
                arrayDistinct(arrayMap(each -> each.4, entries)) AS entry_services,
                -- the first span of each step, by number
                arraySort(each -> (each.1, each.2, each.3), arrayFilter(
                    each -> NOT each.7 OR multiIf(
                        notEmpty(entry_services), has(entry_services, each.4),
                        definition.2 != '', each.4 = definition.2,
                        1), hits)) AS reached,
                arrayFilter(
                    (each, further, n) -> n = 1 OR further != 0,
                    reached,
                    arrayDifference(arrayMap(each -> each.1, reached)),
                    arrayEnumerate(reached)) AS steps,
                -- from where nothing ran before to where nothing runs any more
                arraySort(arrayConcat(
                    arrayMap(each -> (each.1, 0), intervals), arrayMap(each -> (each.2, 1), intervals))) AS bounds,
                arrayCumSum(bound -> if(bound.2 = 0, 1, -1), bounds) AS running,
                arrayZip(
                    arrayMap(bound -> bound.1, arrayFilter(
                        (bound, now) -> bound.2 = 0 AND now = 1, bounds, running)),
                    arrayMap(bound -> bound.1, arrayFilter((bound, now) -> now = 0, bounds, running))) AS busy
            FROM
            (
                SELECT
                    D,
                    any(definition) AS definition,
                    TraceId,
                    minIf(Timestamp, is_span) AS Start,
                    minIf(began, is_span) AS start_ns,
                    maxIf(ended, is_span) AS end_ns,
                    toUInt32(countIf(is_span)) AS span_count,
                    toUInt32(countIf(is_span AND is_error)) AS error_count,
                    arraySort(groupUniqArrayIf(service, is_span)) AS services,
                    argMinIf((is_error, environment), (rank, began, SpanId), is_span) AS root,
                    groupArrayIf((began, ended), is_span) AS intervals,
                    groupArrayIf(
                        (began, SpanId, ended, service, operation, duration, is_error, environment,
                            key, value, user, rank < 2),
                        is_match) AS matched,
                    groupArrayIf((0, began, SpanId, key, value, user),
                        is_span AND (key != '' OR user != '' OR isNotNull(value))) AS spans,
                    groupArrayIf((1, began, SpanId, key, value, user),
                        NOT is_span AND (key != '' OR user != '' OR isNotNull(value))) AS records,
                    groupArrayArray(arrayMap(
                        step -> (step.1, began, SpanId, service, duration, is_error, step.2), on_steps)) AS hits
                FROM
                (
                    SELECT
                        *,
                        is_span
                            AND (definition.2 = '' OR definition.2 = service)
                            AND (definition.3 = '' OR definition.3 = operation)
                            AND arrayAll(pair -> attributes[pair.1] = pair.2, definition.4) AS is_match,
                        clew_taken(attributes, definition.5) AS key_text,
                        if(length(key_text) <= 256, key_text, concat(
                            substringUTF8(key_text, 1, 64), '~', lower(hex(sipHash128(key_text))))) AS key,
                        arrayFirst(number -> ifNull(isFinite(number), 0), arrayMap(
                            source -> toFloat64OrNull(clew_taken(attributes, [source])), definition.6)) AS value,
                        substringUTF8(clew_taken(attributes, definition.7), 1, 256) AS user,
                        if(is_span, arrayFilter(
                            step -> (step.3 = '' OR step.3 = service)
                                AND (step.4 = '' OR step.4 = operation)
                                AND arrayAll(pair -> attributes[pair.1] = pair.2, step.5),
                            definition.8), []) AS on_steps
                    FROM
                    (
                        SELECT
                            1 = 1 AS is_span,
                            TraceId,
                            SpanId,
                            Timestamp,
                            toUnixTimestamp64Nano(Timestamp) AS began,
                            clew_end(Timestamp, Duration) AS ended,
                            clew_duration(Duration) AS duration,
                            toString(ServiceName) AS service,
                            toString(SpanName) AS operation,
                            toString(Environment) AS environment,
                            StatusCode IN ('Error', 'STATUS_CODE_ERROR') AS is_error,
                            multiIf(
                                ParentSpanId = '', 0,
                                SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER'), 1,
                                2) AS rank,
                            mapUpdate(
                                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name),
                                    ResourceAttributes),
                                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name),
                                    SpanAttributes)) AS attributes
                        FROM otel.otel_traces
                        WHERE TraceId IN {traces:Array(String)}
                            AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
                        UNION ALL
                        SELECT
                            1 = 0,
                            TraceId,
                            SpanId,
                            Timestamp,
                            toUnixTimestamp64Nano(Timestamp),
                            0,
                            0,
                            '',
                            '',
                            '',
                            0,
                            2,
                            mapUpdate(
                                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name),
                                    ResourceAttributes),
                                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name),
                                    LogAttributes)) AS attributes
                        FROM otel.otel_logs
                        WHERE TraceId IN {traces:Array(String)}
                            AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({logs_start:DateTime64(9)})
                            AND Timestamp >= {logs_start:DateTime64(9)} AND Timestamp <= {logs_end:DateTime64(9)}
                            AND notEmpty(attributes)
                    ) AS records
                    INNER JOIN
                    (
                        SELECT
                            candidate.1 AS TraceId,
                            arrayJoin(candidate.2) AS D,
                            {definitions:Array(Tuple(String, String, String, Array(Tuple(String, String)), Array(Tuple(String, String)), Array(Tuple(String, String)), Array(Tuple(String, String)), Array(Tuple(UInt8, UInt8, String, String, Array(Tuple(String, String))))))}[D] AS definition
                        FROM
                        (
                            SELECT arrayJoin({candidates:Array(Tuple(String, Array(UInt16)))}) AS candidate
                        )
                    ) AS candidates USING (TraceId)
                )
                GROUP BY D, TraceId
                HAVING span_count > 0
            )
        )
    )
)
