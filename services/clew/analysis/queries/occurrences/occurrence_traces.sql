-- What each trace contributes to the occurrences of each definition that it is a candidate for: the rows of
-- clew_occurrence_traces, in the order of its columns; and with IsDeleted those that may be there from before
-- and no longer hold.
--
-- A definition: 1 id, 2 service, 3 operation, 4 attributes, 5 key, 6 value, 7 user, 8 steps; a step: 1 number,
-- 2 whether it is an operation of the entry's service, 3 service, 4 operation, 5 attributes. '' is any.
-- A trace is decided at once, over arrays of its spans: a window function or a join for each question would
-- sort all spans again for each. No lambda may use an array as long as the one it runs over: what it uses is
-- copied for every element.
-- What has a key (or is given one) is an element: 1 key, 2 kind (0 an entry, 1 any span, 2 a log record, 3 a row
-- that is there), 3 start, 4 span, 5 end, 6 service, 7 operation, 8 duration, 9 error, 10 environment, 11 value,
-- 12 user. Sorted by key and split where it changes, they are a group for each key.
SELECT
    id AS Transaction,
    elements[1].1 AS Key,
    TraceId,
    Start,
    fromUnixTimestamp64Nano(end_ns) AS End,
    if(notEmpty(attempts), attempts[1].10, root.2) AS Environment,
    arrayMap(each -> each.4, attempts) AS EntrySpanId,
    arrayMap(each -> each.6, attempts) AS EntryService,
    arrayMap(each -> each.7, attempts) AS EntryOperation,
    arrayMap(each -> fromUnixTimestamp64Nano(each.3), attempts) AS EntryStart,
    arrayMap(each -> each.8, attempts) AS EntryDuration,
    arrayMap(each -> each.9, attempts) AS EntryIsError,
    root.1 AS RootIsError,
    span_count AS SpanCount,
    error_count AS ErrorCount,
    services AS Services,
    busy AS Busy,
    -- of the last entry that has one; else of a span with this key, or with none; else of a record likewise
    arrayFirst(each -> each != '', arrayConcat(
        arrayReverse(arrayMap(each -> each.12, attempts)),
        arrayMap(each -> each.12, arrayFilter(each -> each.2 = 1, elements)), [span_user],
        arrayMap(each -> each.12, arrayFilter(each -> each.2 = 2, elements)), [log_user])) AS User,
    arrayFirst(each -> isNotNull(each), arrayConcat(
        arrayReverse(arrayMap(each -> each.11, attempts)),
        arrayMap(each -> each.11, arrayFilter(each -> each.2 = 1, elements)), [span_value],
        arrayMap(each -> each.11, arrayFilter(each -> each.2 = 2, elements)), [log_value])) AS Value,
    arrayMap(each -> each.1, steps) AS StepNumber,
    arrayMap(each -> each.4, steps) AS StepService,
    arrayMap(each -> fromUnixTimestamp64Nano(each.2), steps) AS StepStart,
    arrayMap(each -> each.5, steps) AS StepDuration,
    arrayMap(each -> each.6, steps) AS StepIsError,
    {version:UInt64} + toUInt64(holds) AS Version,
    toUInt8(NOT holds) AS IsDeleted
FROM
(
    SELECT
        *,
        row.1 AS elements,
        row.2 AS holds,
        -- an entry that begins while one before it runs is part of that attempt
        arraySort(edge -> (edge.1, edge.2, edge.3.3, edge.3.4), arrayConcat(
            arrayMap(each -> (each.3, 1, each), arrayFilter(each -> each.2 = 0, elements)),
            arrayMap(each -> (greatest(each.5, each.3 + 1), 0, each),
                arrayFilter(each -> each.2 = 0, elements)))) AS edges,
        arrayMap(edge -> edge.3, arrayFilter(
            (edge, running) -> edge.2 = 1 AND running = 1,
            edges,
            arrayCumSum(edge -> if(edge.2 = 1, 1, -1), edges))) AS attempts
    FROM
    (
        SELECT
            *,
            arrayJoin(arrayConcat(
                arrayMap(group -> (group, true), arraySlice(found, 1, if(matches, 1000, 100))),
                arrayMap(group -> (group, false), arraySlice(found, if(matches, 1001, 101), 1000)),
                arrayMap(group -> (group, false), arraySlice(others, 1, 1000)),
                if(is_there, [([(TraceId, 3, 0, '', 0, '', '', 0, false, '', NULL, '')], false)], []))) AS row
        FROM
        (
            SELECT
                * EXCEPT (groups),
                -- without an entry in the trace, it belongs to all keys that it carries. (A WHERE at the end, for
                -- those that overflow, would be evaluated below the arrayJoin: 3 GB for a trace of 10,000 keys.)
                arrayFilter(
                    group -> (NOT matches OR group[1].2 = 0)
                        AND NOT has({overflowing:Array(Tuple(String, String))}, (id, group[1].1)),
                    groups) AS found,
                arrayFilter(group -> matches AND group[1].2 != 0, groups) AS others,
                has_key
                    AND NOT arrayExists(group -> group[1].1 = TraceId, groups)
                    AND (id, TraceId) IN (
                        SELECT Transaction, TraceId
                        FROM otel.clew_occurrence_traces
                        WHERE Transaction IN {ids:Array(String)} AND Key IN (
                                SELECT TraceId FROM otel.clew_candidates
                                WHERE Pass = {of_pass:UInt64} AND Batch = {batch:UInt32})
                            AND Key = TraceId) AS is_there
            FROM
            (
                SELECT
                    * EXCEPT (sorted, sorted_keys, bounds, running, reached),
                    arraySort(
                        group -> (arrayMin(arrayMap(each -> each.3, group)), group[1].1),
                        if(empty(sorted), [], arraySplit(
                            (each, key, before) -> key != before,
                            sorted, sorted_keys, arrayRotateRight(sorted_keys, 1)))) AS groups,
                    arrayZip(
                        arrayMap(bound -> bound.1, arrayFilter(
                            (bound, now) -> bound.2 = 0 AND now = 1, bounds, running)),
                        arrayMap(bound -> bound.1, arrayFilter(
                            (bound, now) -> now = 0, bounds, running))) AS busy,
                    arrayFilter(
                        (each, further, n) -> n = 1 OR further != 0,
                        reached,
                        arrayDifference(arrayMap(each -> each.1, reached)),
                        arrayEnumerate(reached)) AS steps
                FROM
                (
                    SELECT
                        * EXCEPT (keyless, given, hits),
                        arrayMap(each -> each.1, sorted) AS sorted_keys,
                        arraySort(each -> (each.1, each.2, each.3, each.4, each.11, each.12), given) AS sorted,
                        -- of what has no key, the first that has something to say
                        arrayFirst(each -> each.2 = 1 AND each.12 != '', keyless).12 AS span_user,
                        arrayFirst(each -> each.2 = 2 AND each.12 != '', keyless).12 AS log_user,
                        arrayFirst(each -> each.2 = 1 AND isNotNull(each.11), keyless).11 AS span_value,
                        arrayFirst(each -> each.2 = 2 AND isNotNull(each.11), keyless).11 AS log_value,
                        -- the first span of each step, by number
                        arraySort(each -> (each.1, each.2, each.3), arrayFilter(
                            each -> NOT each.7 OR multiIf(
                                matches, has(entry_services, each.4),
                                own_service != '', each.4 = own_service,
                                1), hits)) AS reached,
                        arrayCumSum(bound -> if(bound.2 = 0, 1, -1), bounds) AS running
                    FROM
                    (
                        SELECT
                            * EXCEPT (best, items, keyed, intervals),
                            -- what an entry without a key is given: the first on a span, else on a record, else
                            -- the trace
                            if(empty(keyed), TraceId,
                                arraySort(each -> (each.2, each.3, each.4, each.1), keyed)[1].1) AS fallback,
                            arrayConcat(keyed, arrayMap(each -> (
                                if(each.1 = '', fallback, each.1), each.2, each.3, each.4, each.5, each.6,
                                each.7, each.8, each.9, each.10, each.11, each.12), best)) AS given,
                            arraySort(each -> (each.3, each.4, each.11, each.12),
                                arrayFilter(each -> each.1 = '', items)) AS keyless,
                            notEmpty(best) AS matches,
                            arrayDistinct(arrayMap(each -> each.6, best)) AS entry_services,
                            -- from where nothing ran before to where nothing runs any more
                            arraySort(arrayConcat(
                                arrayMap(each -> (each.1, 0), intervals),
                                arrayMap(each -> (each.2, 1), intervals))) AS bounds
                        FROM
                        (
                            SELECT
                                * EXCEPT (matched, said),
                                arrayFilter(each -> each.2 = 1 OR (
                                    each.3 >= start_ns - 300000000000 AND each.3 <= end_ns + 300000000000),
                                    said) AS items,
                                arrayFilter(each -> each.1 != '', items) AS keyed,
                                if(arrayExists(each -> each.13 = 1, matched),
                                    arrayFilter(each -> each.13 = 1, matched), matched) AS best
                            FROM
                            (
                                SELECT
                                    TraceId,
                                    any(definition.1) AS id,
                                    any(definition.2) AS own_service,
                                    any(notEmpty(definition.5)) AS has_key,
                                    minIf(Timestamp, is_span) AS Start,
                                    minIf(began, is_span) AS start_ns,
                                    maxIf(ended, is_span) AS end_ns,
                                    toUInt32(countIf(is_span)) AS span_count,
                                    toUInt32(countIf(is_span AND is_error)) AS error_count,
                                    arraySort(groupUniqArrayIf(service, is_span)) AS services,
                                    argMinIf((is_error, environment), (rank, began, SpanId), is_span) AS root,
                                    groupArrayIf((began, ended), is_span) AS intervals,
                                    groupArrayIf(
                                        (key, 0, began, SpanId, ended, service, operation, duration, is_error, environment,
                                            value, user, rank < 2),
                                        is_match) AS matched,
                                    groupArrayIf(
                                        (key, if(is_span, 1, 2), began, SpanId, ended, '', '', toUInt64(0), 1 = 0, '', value, user),
                                        key != '' OR user != '' OR isNotNull(value)) AS said,
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
                                        WHERE TraceId IN (SELECT TraceId FROM otel.clew_candidates WHERE Pass = {of_pass:UInt64} AND Batch = {batch:UInt32})
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
                                        WHERE TraceId IN (SELECT TraceId FROM otel.clew_candidates WHERE Pass = {of_pass:UInt64} AND Batch = {batch:UInt32})
                                            AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({logs_start:DateTime64(9)})
                                            AND Timestamp >= {logs_start:DateTime64(9)} AND Timestamp <= {logs_end:DateTime64(9)}
                                            AND notEmpty(attributes)
                                    ) AS records
                                    INNER JOIN
                                    (
                                        SELECT
                                            TraceId,
                                            arrayJoin(Definitions) AS D,
                                            {definitions:Array(Tuple(String, String, String, Array(Tuple(String, String)), Array(Tuple(String, String)), Array(Tuple(String, String)), Array(Tuple(String, String)), Array(Tuple(UInt8, UInt8, String, String, Array(Tuple(String, String))))))}[D] AS definition
                                        FROM otel.clew_candidates
                                        WHERE Pass = {of_pass:UInt64} AND Batch = {batch:UInt32}
                                    ) AS candidates USING (TraceId)
                                )
                                GROUP BY D, TraceId
                                HAVING span_count > 0
                            )
                        )
                    )
                )
            )
        )
    )
)
