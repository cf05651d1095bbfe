-- with settle_spans
-- Rows of clew_settled for a chunk of traces that are not large: a trace is a few arrays side by side, and
-- is worked out in them. What the times are is said in clew.storage.paths, which does the same for one
-- trace; here as there, of several spans with one id the first counts.
--
-- InsertedAt is the spans': a row is kept as long as they are, whenever it was made.
--
-- What is used twice, or within a lambda, is a column of a query of its own: an alias would be worked out
-- each time.
,
traces AS
(
    -- Parents before their children: by start, the longer first.
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
numbered AS
(
    SELECT
        TraceId,
        InsertedAt,
        sorted.1 AS began, arrayMap(x -> -x, sorted.2) AS ended, sorted.3 AS id, sorted.4 AS parent,
        sorted.5 AS code, sorted.6 AS failed, sorted.7 AS type, sorted.8 AS service, sorted.9 AS name,
        sorted.10 AS kind, sorted.11 AS environment, sorted.12 AS target, sorted.13 AS summary,
        arrayEnumerate(id) AS number,
        arrayMap(n -> n = 1, arrayEnumerateUniq(id)) AS first,
        arrayEnumerateDense(service, name, kind) AS operation,
        arrayEnumerateDense(service) AS of_service
    FROM traces
),
-- up: the number of the parent, 0 where none is stored.
linked AS
(
    SELECT
        *,
        arrayMap((p, i, f) -> if(f AND p NOT IN (0, i), indexOf(id, p), 0), parent, id, first) AS up,
        arrayMin(arrayZip(
            arrayMap((p, c) -> multiIf(p = 0, 0, c IN (1, 4), 1, 2), parent, code), began, id, number)) AS entry
    FROM numbered
),
-- children: (number of the parent, start, end, id, number), those of one parent together
related AS
(
    SELECT
        *,
        arrayFilter(c -> c.1 > 0, arraySort(arrayZip(up, began, ended, id, number))) AS children,
        arrayMap(u -> (of_service[u], code[u], type[u], failed[u], ended[u] - began[u]), up) AS callers
    FROM linked
),
calling AS
(
    SELECT
        *,
        arraySplit((c, another) -> another, children,
            arrayMap((a, b) -> a != b, children.1, arrayPopBack(arrayPushFront(children.1, 0)))) AS families,
        arrayMap(
            (u, s, c, t, f, p, caller) -> if(u > 0,
                (caller.1 != s OR (c IN (1, 4) AND caller.2 IN (2, 3))) AND NOT (c = 4 AND t = 4),
                f AND p != 0 AND (c = 1 OR (c = 4 AND t != 4))),
            up, of_service, code, type, first, parent, callers) AS called,
        arrayMap((s, c, caller) -> c IN (2, 3) AND caller.2 IN (2, 3) AND caller.1 = s, of_service, code, callers) AS within
    FROM related
),
-- waits: for each parent its number, the time covered, (…, the numbers of those waited for, how long)
waiting AS
(
    SELECT
        *,
        arrayMap(family -> (
            family[1].1 AS me,
            arrayFold(
                (state, c) -> if(
                    least(c.3, ended[me]) > greatest(c.2, state.1),
                    (least(c.3, ended[me]), state.2 + least(c.3, ended[me]) - greatest(c.2, state.1)),
                    state),
                family, (began[me], toInt64(0))).2,
            arrayFold(
                (state, c) -> if(c.1 <= state.1, (c.2, arrayPushBack(state.2, c.4), state.3 + c.1 - c.2), state),
                arrayReverseSort(arrayFilter(c -> c.2 < c.1, arrayMap(
                    c -> (least(c.3, ended[me]), greatest(c.2, began[me]), c.4, c.5),
                    arrayFilter(c -> code[me] = 2 OR c.3 <= ended[me], family)))),
                (ended[me], emptyArrayUInt32(), toInt64(0)))), families) AS waits,
        arrayDistinct(arrayFilter((u, c) -> c, up, called)) AS answered,
        arrayDistinct(arrayFilter((u, w) -> w, up, within)) AS passing_on
    FROM calling
),
-- Down from the entry, parents before their children: who is on the path adds who it waited for. Where a
-- clock is behind, a child may stand before its parent: one more pass for each of those, up to a number
-- that no real trace needs.
holding AS
(
    SELECT *, arraySort(arrayFilter(w -> notEmpty(w.3.2), waits)) AS held
    FROM waiting
),
reached AS
(
    SELECT
        *,
        arrayFold(
            (path, w) -> if(has(path, w.1) AND NOT hasAll(path, w.3.2), arrayConcat(path, w.3.2), path),
            arrayFlatten(arrayWithConstant(least(1 + arrayCount(w -> arrayExists(n -> n < w.1, w.3.2), held), 16), held)),
            [toUInt32(indexOf(id, entry.3))]) AS path
    FROM holding
),
-- shares: (operation, self, critical), operation by operation, so that sums are differences of a running sum
sharing AS
(
    SELECT
        *,
        arraySort(arrayConcat(
            arrayMap(
                (o, b, e, n, f) -> (o, if(f, e - b, 0), if(f AND has(path, n), e - b, 0)),
                operation, began, ended, number, first),
            arrayMap(w -> (operation[w.1], -w.2, if(has(path, w.1), -w.3.3, 0)), waits))) AS shares,
        arrayMap(o -> o = 1, arrayEnumerateUniq(operation)) AS named,
        arrayFilter((n, c) -> c, number, called) AS callees,
        arrayFilter(
            (n, f, t, to, w, s, caller) -> f AND to != ''
                AND NOT (w AND caller.3 IN (2, 3)) AND NOT (t = 4 AND caller.3 = 4 AND caller.1 = s)
                AND NOT (t IN (1, 2) AND has(answered, n)) AND NOT (t = 1 AND has(passing_on, n)),
            number, first, type, target, within, of_service, callers) AS reaching
    FROM reached
),
summed AS
(
    SELECT *, arrayMap((a, b) -> a != b, shares.1, arrayPushBack(arrayPopFront(shares.1), 0)) AS ends
    FROM sharing
)
SELECT
    service[entry.4] AS ServiceName,
    name[entry.4] AS SpanName,
    fromUnixTimestamp64Nano(began[entry.4]) AS Timestamp,
    TraceId,
    environment[entry.4] AS Environment,
    toUInt64(ended[entry.4] - began[entry.4]) AS Duration,
    failed[entry.4] AS IsError,
    entry.1 AS Rank,
    arraySort(arrayDistinct(service)) AS Services,
    length(id) AS SpanCount,
    arrayFilter((x, n) -> n, service, named) AS `Path.Service`,
    arrayFilter((x, n) -> n, name, named) AS `Path.Operation`,
    arrayFilter((x, n) -> n, kind, named) AS `Path.Kind`,
    arrayMap(o -> countEqual(operation, o), range(1, 1 + arrayMax(operation))) AS `Path.Calls`,
    arrayPopFront(arrayDifference(arrayPushFront(arrayFilter((x, e) -> e, arrayCumSum(shares.2), ends), 0))) AS `Path.Self`,
    arrayPopFront(arrayDifference(arrayPushFront(arrayFilter((x, e) -> e, arrayCumSum(shares.3), ends), 0))) AS `Path.Critical`,
    arrayConcat(
        arrayMap(n -> service[up[n]], callees),
        arrayMap(n -> if(type[n] = 4, target[n], service[n]), reaching)) AS `Call.Source`,
    arrayConcat(
        arrayMap(n -> service[n], callees),
        arrayMap(n -> if(type[n] = 4, service[n], target[n]), reaching)) AS `Call.Target`,
    arrayConcat(
        arrayMap(n -> 'service', callees),
        arrayMap(n -> ['external', 'database', 'queue', 'consumed'][type[n]], reaching)) AS `Call.Type`,
    arrayConcat(
        arrayMap(n -> name[n], callees),
        arrayMap(n -> if(summary[n] != '', substringUTF8(summary[n], 1, 200), name[n]), reaching)) AS `Call.Summary`,
    arrayConcat(
        arrayMap(n -> toUInt64(if(callers[n].2 IN (2, 3), callers[n].5, ended[n] - began[n])), callees),
        arrayMap(n -> toUInt64(ended[n] - began[n]), reaching)) AS `Call.Duration`,
    arrayConcat(
        arrayMap(n -> failed[n] OR (callers[n].2 IN (2, 3) AND callers[n].4), callees),
        arrayMap(n -> failed[n], reaching)) AS `Call.IsError`,
    {one_in:UInt16} AS OneIn,
    {version:UInt64} + 1 AS Version,
    0 AS IsDeleted,
    InsertedAt
FROM summed
