-- The traces that got spans between two times and whose row in clew_settled is not of all their spans, among them
-- traces that were quiet for a while and are looked at a second time; and the traces in `requeued`, which have lost
-- spans.
WITH
changed AS
(
    SELECT
        TraceId,
        min(traces.Start) AS Start,
        max(traces.End) AS End,
        sum(traces.SpanCount) AS SpanCount,
        max(traces.InsertedAt) AS InsertedAt
    FROM otel.clew_traces AS traces
    WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE (InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime})
            OR (InsertedAt >= {quiet_since:DateTime} AND InsertedAt < {quiet_until:DateTime}))
        OR TraceId IN {requeued:Array(String)}
    GROUP BY TraceId
    HAVING (TraceId, SpanCount) NOT IN (
        SELECT TraceId, toUInt64(SpanCount) FROM otel.clew_settled
        WHERE InsertedAt >= {quiet_since:DateTime} AND NOT IsDeleted)
)
