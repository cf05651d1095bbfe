-- with settle_spans
-- Rows of clew_settled for a chunk of traces that are not large. From `traces` on a row is one trace, and its
-- spans are arrays side by side, numbered from 1, parents before their children. clew.analysis.traces.paths
-- computes the same for one trace and says what the times mean. In both, the first of several spans with one id
-- counts, and a server's span that shares its id with a client's is the client's child under an id of its own
-- (schema 0161; here ids are numbers, and that is bitNot).
--
-- What is used twice, or within a lambda, is a column of an earlier step: an alias would be computed each time.
-- InsertedAt is that of the spans: a row is kept as long as they are, whenever it was made.
,
'Enum8(''other'' = 0, ''server'' = 1, ''client'' = 2, ''producer'' = 3, ''consumer'' = 4)' AS code_type,
'Enum8(''none'' = 0, ''external'' = 1, ''database'' = 2, ''queue'' = 3, ''consumed'' = 4)' AS target_type,
'Tuple(source String, target String, type String, summary String, duration UInt64, is_error UInt8, own UInt64)' AS call_type,
traces AS
(
    -- By start, of the same start the longer first.
    SELECT
        TraceId,
        max(inserted) AS InsertedAt,
        arraySort(arrayZip(
            groupArray(began), groupArray(-ended), groupArray(id), groupArray(parent), groupArray(code),
            groupArray(failed), groupArray(type), groupArray(service), groupArray(name), groupArray(kind),
            groupArray(environment), groupArray(target), groupArray(summary))) AS sorted
    FROM spans
    GROUP BY TraceId
),
shared_ids AS
(
    SELECT
        *,
        arrayIntersect(
            arrayFilter((id, code) -> code = 1, sorted.3, sorted.5),
            arrayFilter((id, code) -> code = 2, sorted.3, sorted.5)) AS shared,
        arrayMap((id, code) -> code = 1 AND has(shared, id), sorted.3, sorted.5) AS are_shared
    FROM traces
),
numbered AS
(
    SELECT
        TraceId,
        InsertedAt,
        sorted.1 AS starts, arrayMap(negated -> -negated, sorted.2) AS ends,
        arrayMap((id, is_shared) -> if(is_shared, bitNot(id), id), sorted.3, are_shared) AS ids,
        arrayMap(
            (id, parent, is_shared) -> multiIf(is_shared, id, has(shared, parent), bitNot(parent), parent),
            sorted.3, sorted.4, are_shared) AS parents,
        CAST(sorted.5, concat('Array(', code_type, ')')) AS codes, sorted.6 AS errors,
        CAST(sorted.7, concat('Array(', target_type, ')')) AS types,
        sorted.8 AS services, sorted.9 AS names, sorted.10 AS kinds,
        sorted.11 AS environments, sorted.12 AS targets, sorted.13 AS summaries,
        arrayEnumerate(ids) AS numbers,
        arrayMap(repetition -> repetition = 1, arrayEnumerateUniq(ids)) AS are_first,
        arrayEnumerateDense(services, names, kinds) AS operations,
        arrayEnumerateDense(services) AS service_numbers
    FROM shared_ids
),
-- callers: the number of each span's parent, 0 where no parent is stored.
linked AS
(
    SELECT
        *,
        arrayMap(
            (parent, id, is_first) -> if(is_first AND parent NOT IN (0, id), indexOf(ids, parent), 0),
            parents, ids, are_first) AS callers,
        CAST(
            arrayMin(arrayZip(
                arrayMap(
                    (parent, code) -> multiIf(parent = 0, 0, code IN ('server', 'consumer'), 1, 2),
                    parents, codes),
                starts, ids, numbers)),
            'Tuple(rank UInt8, start Int64, id UInt64, number UInt32)') AS entry
    FROM numbered
),
familiar AS
(
    SELECT *, arrayMap(number -> has(callers, number), numbers) AS are_parents
    FROM linked
),
-- children: the spans that have a caller, those of one caller together.
-- caller_spans: what decides about a call, of each span's caller.
related AS
(
    SELECT
        *,
        CAST(
            arrayFilter(child -> child.1 > 0, arraySort(arrayZip(callers, starts, ends, ids, numbers, are_parents))),
            'Array(Tuple(caller UInt32, start Int64, end Int64, id UInt64, number UInt32, is_parent UInt8))') AS children,
        arrayMap(
            caller -> CAST(
                (
                    service_numbers[caller], codes[caller], types[caller], errors[caller],
                    ends[caller] - starts[caller]),
                concat(
                    'Tuple(service UInt32, code ', code_type, ', type ', target_type,
                    ', is_error UInt8, duration Int64)')),
            callers) AS caller_spans
    FROM familiar
),
-- are_calls: the span is called from another service, or takes a message.
-- are_within: the span is a client in a client of the same service.
calling AS
(
    SELECT
        *,
        arraySplit(
            (child, is_new_caller) -> is_new_caller,
            children,
            arrayMap(
                (caller, caller_before) -> caller != caller_before,
                children.caller, arrayPopBack(arrayPushFront(children.caller, 0)))) AS families,
        arrayMap(
            (caller, service, code, type, is_first, parent, caller_span) -> if(caller > 0,
                (caller_span.service != service
                    OR (code IN ('server', 'consumer') AND caller_span.code IN ('client', 'producer')))
                    AND NOT (code = 'consumer' AND type = 'consumed'),
                is_first AND parent != 0 AND (code = 'server' OR (code = 'consumer' AND type != 'consumed'))),
            callers, service_numbers, codes, types, are_first, parents, caller_spans) AS are_calls,
        arrayMap(
            (service, code, caller_span) -> code IN ('client', 'producer')
                AND caller_span.code IN ('client', 'producer') AND caller_span.service = service,
            service_numbers, codes, caller_spans) AS are_within
    FROM related
),
-- waits: of each span with children the time that the children cover; and the path back from its end: the children
-- that it waited for, how long in all, and where the path begins.
-- answered: the spans with a child that is a call. passing_on: those with a child that is within them.
-- watching: leaves that ran for the same time as a sibling with children (to a tenth): they waited for it.
waiting AS
(
    SELECT
        *,
        CAST(
            arrayMap(family -> (
                family[1].caller AS caller,
                -- state: (covered until, time covered)
                arrayFold(
                    (state, child) -> if(
                        least(child.end, ends[caller]) > greatest(child.start, state.1),
                        (
                            least(child.end, ends[caller]),
                            state.2 + least(child.end, ends[caller]) - greatest(child.start, state.1)),
                        state),
                    family, (starts[caller], toInt64(0))).2,
                -- state: the path; child: (end, start, id, number) within the caller's time
                arrayFold(
                    (state, child) -> if(
                        child.1 <= state.1,
                        (child.2, arrayPushBack(state.2, child.4), state.3 + child.1 - child.2),
                        state),
                    arrayReverseSort(arrayFilter(child -> child.2 < child.1, arrayMap(
                        child -> (
                            least(child.end, ends[caller]), greatest(child.start, starts[caller]),
                            child.id, child.number),
                        arrayFilter(child -> codes[caller] = 'client' OR child.end <= ends[caller], family)))),
                    (ends[caller], emptyArrayUInt32(), toInt64(0)))), families),
            'Array(Tuple(
                number UInt32, covered Int64,
                path Tuple(start Int64, numbers Array(UInt32), duration Int64)))') AS waits,
        arrayDistinct(arrayFilter((caller, is_call) -> is_call, callers, are_calls)) AS answered,
        arrayDistinct(arrayFilter((caller, is_within) -> is_within, callers, are_within)) AS passing_on,
        arrayFlatten(arrayMap(
            family -> arrayFilter(
                leaf -> NOT leaf.is_parent AND arrayExists(
                    child -> child.is_parent
                        AND least(child.end, leaf.end) > greatest(child.start, leaf.start)
                        AND least(child.end, leaf.end) - greatest(child.start, leaf.start)
                            >= greatest(child.end - child.start, leaf.end - leaf.start)
                                - intDiv(greatest(child.end - child.start, leaf.end - leaf.start), 10),
                    family),
                family).number,
            arrayFilter(family -> length(family) > 1 AND arrayExists(child -> child.is_parent, family), families)))
            AS watching
    FROM calling
),
holding AS
(
    SELECT *, arraySort(arrayFilter(wait -> notEmpty(wait.path.numbers), waits)) AS held
    FROM waiting
),
-- path: the spans on the critical path, down from the entry. A span on the path adds those that it waited for.
-- Where a clock is behind, a child may stand before its parent: one more pass for each of those, up to a number
-- that no real trace needs.
reached AS
(
    SELECT
        *,
        arrayFold(
            (path, wait) -> if(
                has(path, wait.number) AND NOT hasAll(path, wait.path.numbers),
                arrayConcat(path, wait.path.numbers), path),
            arrayFlatten(arrayWithConstant(
                least(16, 1 + arrayCount(
                    wait -> arrayExists(number -> number < wait.number, wait.path.numbers), held)),
                held)),
            [toUInt32(indexOf(ids, entry.id))]) AS path
    FROM holding
),
-- selves, criticals: the self time and the time on the critical path of each span.
-- callees: the spans that are calls. reaching: those that reach a target that has no spans of its own in the trace.
-- repetitions: counts the spans of an operation under one parent.
measured AS
(
    SELECT
        *,
        arrayMap(
            (number, start, end, is_first) -> if(
                is_first AND NOT has(watching, number),
                end - start - waits.covered[indexOf(waits.number, number)], 0),
            numbers, starts, ends, are_first) AS selves,
        arrayMap(
            (number, start, end, is_first) -> if(
                is_first AND has(path, number),
                end - start - waits.path.duration[indexOf(waits.number, number)], 0),
            numbers, starts, ends, are_first) AS criticals,
        arrayMap(
            (caller, repetition) -> if(caller = 0, 1, repetition),
            callers, arrayEnumerateUniq(callers, operations)) AS repetitions,
        arrayMap(repetition -> repetition = 1, arrayEnumerateUniq(operations)) AS are_new_operations,
        arrayFilter((number, is_call) -> is_call, numbers, are_calls) AS callees,
        arrayFilter((caller, is_call) -> caller > 0 AND NOT is_call, callers, are_calls) AS working,
        arrayFilter(
            (number, is_first, type, target, is_within, service, caller_span) -> is_first AND target != ''
                AND NOT (is_within AND caller_span.type IN ('database', 'queue'))
                AND NOT (type = 'consumed' AND caller_span.type = 'consumed' AND caller_span.service = service)
                AND NOT (type IN ('external', 'database') AND has(answered, number))
                AND NOT (type = 'external' AND has(passing_on, number)),
            numbers, are_first, types, targets, are_within, service_numbers, caller_spans) AS reaching
    FROM reached
),
-- links: the self time of a span that waited for calls only: all of its children are calls, or it reaches a target
-- without spans.
-- shares: (operation, self time, time on the critical path, link), operation by operation, so that the sum of one is
-- the difference of two running sums.
sharing AS
(
    SELECT
        *,
        arrayMap(
            (number, self, type) -> multiIf(
                has(answered, number), if(has(working, number), 0, self),
                type != 'consumed' AND has(reaching, number), self,
                0),
            numbers, selves, types) AS links,
        arraySort(arrayZip(operations, selves, criticals, links)) AS shares
    FROM measured
),
-- calls: first those of services, then those of targets.
summed AS
(
    SELECT
        *,
        arrayMap(
            (operation, operation_after) -> operation != operation_after,
            shares.1, arrayPushBack(arrayPopFront(shares.1), 0)) AS are_last,
        arrayConcat(
            arrayMap(
                number -> CAST((
                    services[callers[number]],
                    services[number],
                    'service',
                    names[number],
                    if(caller_spans[number].code IN ('client', 'producer'),
                        caller_spans[number].duration, ends[number] - starts[number]),
                    errors[number]
                        OR (caller_spans[number].code IN ('client', 'producer') AND caller_spans[number].is_error),
                    if(callers[number] = 0, 0, intDiv(links[callers[number]], countEqual(callers, callers[number])))),
                    call_type),
                callees),
            arrayMap(
                number -> CAST((
                    if(types[number] = 'consumed', targets[number], services[number]),
                    if(types[number] = 'consumed', services[number], targets[number]),
                    toString(types[number]),
                    if(summaries[number] != '', substringUTF8(summaries[number], 1, 200), names[number]),
                    ends[number] - starts[number],
                    errors[number],
                    if(has(answered, number), 0, links[number])), call_type),
                reaching)) AS calls
    FROM sharing
)
SELECT
    services[entry.number] AS ServiceName,
    names[entry.number] AS SpanName,
    fromUnixTimestamp64Nano(starts[entry.number]) AS Timestamp,
    TraceId,
    environments[entry.number] AS Environment,
    toUInt64(ends[entry.number] - starts[entry.number]) AS Duration,
    errors[entry.number] AS IsError,
    entry.rank AS Rank,
    arraySort(arrayDistinct(services)) AS Services,
    length(ids) AS SpanCount,
    arrayFilter((service, is_new) -> is_new, services, are_new_operations) AS `Path.Service`,
    arrayFilter((name, is_new) -> is_new, names, are_new_operations) AS `Path.Operation`,
    arrayFilter((kind, is_new) -> is_new, kinds, are_new_operations) AS `Path.Kind`,
    arrayMap(operation -> countEqual(operations, operation), range(1, 1 + arrayMax(operations))) AS `Path.Calls`,
    arrayPopFront(arrayDifference(arrayPushFront(
        arrayFilter((sum, is_last) -> is_last, arrayCumSum(shares.2), are_last), 0))) AS `Path.Self`,
    arrayPopFront(arrayDifference(arrayPushFront(
        arrayFilter((sum, is_last) -> is_last, arrayCumSum(shares.3), are_last), 0))) AS `Path.Critical`,
    calls.source AS `Call.Source`,
    calls.target AS `Call.Target`,
    calls.type AS `Call.Type`,
    calls.summary AS `Call.Summary`,
    calls.duration AS `Call.Duration`,
    calls.is_error AS `Call.IsError`,
    {one_in:UInt16} AS OneIn,
    {version:UInt64} + 1 AS Version,
    0 AS IsDeleted,
    InsertedAt,
    arrayMap(
        operation -> arrayMax((repetition, other) -> if(other = operation, repetition, 0), repetitions, operations),
        range(1, 1 + arrayMax(operations))) AS `Path.Most`,
    arrayPopFront(arrayDifference(arrayPushFront(
        arrayFilter((sum, is_last) -> is_last, arrayCumSum(shares.4), are_last), 0))) AS `Path.Link`,
    calls.own AS `Call.Own`
FROM summed
