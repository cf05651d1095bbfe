-- with entries
-- Exceptions in the traces, from span events and log records alike; one that a span and a log record of
-- that span both report counts once. Frame is the innermost one of their own code, without its line:
-- Python's stack traces have it last, those of Java, .NET, Node, Go and Ruby first.
SELECT
    type,
    message,
    service,
    replaceRegexpAll(innermost, '^\\s+|, line [0-9]+|:(?:line )?[0-9]+| \\+0x[0-9a-f]+', '') AS frame,
    count() AS count,
    clew_time(min(earliest)) AS first,
    clew_time(max(latest)) AS last,
    argMax(trace_id, latest) AS example_trace_id
FROM
(
    SELECT
        service,
        type,
        replaceRegexpAll(text, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\\b(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\\b|[0-9]+', '#') AS message,
        trace_id,
        max(innermost) AS innermost,
        min(at) AS earliest,
        max(at) AS latest
    FROM
    (
        SELECT service, trace_id, span_id, at, type, text,
            extractAll(stack, '(?m)^\\s*(?:File "[^"\n]+", line [0-9]+, in [^\n]+|at [^\n]+|(?:from )?/[^\\s:]+\\.(?:go|rb):[0-9]+[^\n]*)') AS frames,
            arrayFilter(frame -> NOT match(frame,
                'site-packages|dist-packages|/lib(64)?/python|<frozen |<string>|node_modules|node:|\\(internal/|/usr/local/go/|/pkg/mod/|/gems/|/lib/ruby/|at (?:(?:java|javax|jakarta|jdk|sun|kotlin|scala|System|Microsoft)\\.|org\\.(?:springframework|apache|hibernate|junit)|com\\.(?:sun|zaxxer)|io\\.(?:netty|grpc|opentelemetry))'), frames) AS own,
            if(match(frames[1], '^\\s*File '), own[-1], own[1]) AS innermost
        FROM entries
        INNER JOIN
        (
            SELECT ServiceName AS service, TraceId AS trace_id, SpanId AS span_id, At AS at,
                Type AS type, Message AS text, Stack AS stack
            FROM otel.clew_span_exceptions
            WHERE Timestamp >= {from:DateTime64(9)} AND Timestamp < {to:DateTime64(9)} + toIntervalHour(1)
            UNION ALL
            SELECT ServiceName, TraceId, SpanId, Timestamp, Type, Message, Stack
            FROM otel.clew_log_exceptions
            WHERE Timestamp >= {from:DateTime64(9)} AND Timestamp < {to:DateTime64(9)} + toIntervalHour(1)
        ) AS raised ON raised.trace_id = entries.TraceId
    )
    GROUP BY service, type, message, trace_id, span_id
)
GROUP BY type, message, service, frame
ORDER BY count DESC, last DESC, service, type, message, frame
LIMIT {limit:UInt32}
