-- The spans of some traces, each once. A server's span that shares its id with a client's has an id of its own and
-- is the client's child; the children of that id are the server's.
WITH
shared AS
(
    SELECT TraceId, SpanId
    FROM otel.otel_traces
    WHERE TraceId IN {trace_ids:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
    GROUP BY TraceId, SpanId
    HAVING hasAll(groupUniqArray(clew_kind_name(SpanKind)), ['client', 'server'])
),
unique_spans AS
(
    SELECT * EXCEPT (SpanId, ParentSpanId), unique_id AS SpanId, unique_parent_id AS ParentSpanId
    FROM
    (
        SELECT
            *,
            clew_kind_name(SpanKind) = 'server' AND (TraceId, SpanId) IN shared AS is_shared_server,
            if(is_shared_server, clew_server_span_id(SpanId), SpanId) AS unique_id,
            multiIf(
                is_shared_server, SpanId,
                (TraceId, ParentSpanId) IN shared, clew_server_span_id(ParentSpanId),
                ParentSpanId) AS unique_parent_id
        FROM otel.otel_traces
        WHERE TraceId IN {trace_ids:Array(String)}
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
        ORDER BY TraceId, Timestamp, clew_duration(Duration) DESC, ParentSpanId, SpanKind
        LIMIT 1 BY TraceId, unique_id
    )
)
