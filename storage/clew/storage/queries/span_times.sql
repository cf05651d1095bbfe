-- What each span of some traces took itself, and which spans its trace waited for.
--
-- self: the span's duration less the time in which at least one child was running.
-- critical: the span is on the path that determined when the entry ended. From the end of a span
-- backwards, the child that ended last before the time reached is on the path, then the one that
-- ended last before that one began, and so on down. A child that goes on after its parent did not
-- hold it up, unless the parent is a CLIENT span: a client waits for its server, so what sticks out
-- there is the clocks' difference, and is cut off.
-- path: the time on the path in the span itself: its duration less that of the children on the path.
WITH
spans AS
(
    SELECT TraceId, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind,
           toUnixTimestamp64Nano(Timestamp) AS began,
           began + toInt64(clew_duration(Duration)) AS ended
    FROM otel.otel_traces
    WHERE TraceId IN {trace_ids:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
),
families AS
(
    SELECT TraceId, ParentSpanId, groupArray((began, ended, SpanId)) AS children
    FROM spans
    WHERE ParentSpanId != ''
    GROUP BY TraceId, ParentSpanId
),
measured AS
(
    SELECT
        spans.TraceId AS TraceId, spans.SpanId AS SpanId, spans.ParentSpanId AS ParentSpanId,
        ServiceName, SpanName, SpanKind, began, ended,
        arrayCount(c -> c.1 < began, children) AS early,
        arrayFilter(c -> c.1 < c.2,
            arrayMap(c -> (greatest(c.1, began), least(c.2, ended), c.3), children)) AS inside,
        arrayFold(
            (state, c) -> (greatest(state.1, c.2), state.2 + greatest(toInt64(0), c.2 - greatest(c.1, state.1))),
            arraySort(inside),
            (began, toInt64(0))).2 AS covered,
        arrayFold(
            (state, c) -> if(c.2 <= state.1, (c.1, arrayPushBack(state.2, c.3), state.3 + c.2 - c.1), state),
            arrayReverseSort(c -> (c.2, c.1), if(SpanKind IN ('Client', 'SPAN_KIND_CLIENT'), inside,
                arrayFilter(c -> c.2 <= ended AND c.1 < c.2,
                    arrayMap(c -> (greatest(c.1, began), c.2, c.3), children)))),
            (ended, emptyArrayString(), toInt64(0))) AS chain
    FROM spans
    LEFT JOIN families ON families.TraceId = spans.TraceId AND families.ParentSpanId = spans.SpanId
),
-- Down from the entry, parents before their children: who is on the path adds who it waited for.
-- By their starts parents come first, except where a clock is behind and a child seems to begin
-- before its parent: one more pass for each of those, up to a number that no real trace needs.
paths AS
(
    SELECT TraceId, arrayJoin(arrayFold(
        (reached, parent) -> if(has(reached, parent.2) AND NOT has(reached, parent.3[1]), arrayConcat(reached, parent.3), reached),
        arrayFlatten(arrayWithConstant(least(1 + sum(early), 16), arraySort(groupArrayIf((began, SpanId, chain.2), notEmpty(chain.2))))),
        [argMin(SpanId, (multiIf(ParentSpanId = '', 0, SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER'), 1, 2), began, SpanId))])) AS SpanId
    FROM measured
    GROUP BY TraceId
)
