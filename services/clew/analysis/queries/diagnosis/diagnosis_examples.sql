-- with diagnosed
-- Traces of A that show the suspects: those in which a suspect took longest, failed ones first. Of each the suspect's span to
-- look at: the longest one of the operation that stands at its place in {operations}, or where that is empty the longest call;
-- what its code is called, which a span that it serves says; and its most severe log record, of warnings one that its own code
-- wrote rather than a library (foreign) before others.
,
(
    SELECT groupArray((suspect, TraceId, Duration / 1e6, IsError, time))
    FROM
    (
        SELECT
            TraceId, Duration, IsError,
            arrayJoin({suspects:Array(String)}) AS suspect,
            arraySum((owner, self) -> if(owner = suspect, self, 0), services, selves)
                + arraySum((source, own) -> if(source = suspect, own, 0), sources, owns) AS time
        FROM diagnosed
        WHERE is_a AND has(services, suspect)
        ORDER BY suspect, IsError DESC, time DESC, TraceId
        LIMIT 3 BY suspect
    )
) AS shown,
spans AS
(
    SELECT
        ServiceName AS service, TraceId AS trace,
        argMax(SpanId, (if(operation = '', NOT is_entry, SpanName = operation), clew_is_error(StatusCode), Duration)) AS id,
        argMaxIf(code, (is_entry, Duration), code.1 != '' OR code.2 != '') AS code
    FROM
    (
        SELECT
            *,
            {operations:Array(String)}[indexOf({suspects:Array(String)}, ServiceName)] AS operation,
            clew_is_entry_kind(SpanKind) AS is_entry,
            (
                firstNonDefault(SpanAttributes['code.function.name'], SpanAttributes['code.function']),
                firstNonDefault(SpanAttributes['code.file.path'], SpanAttributes['code.filepath']),
                firstNonDefault(SpanAttributes['code.line.number'], SpanAttributes['code.lineno'])
            ) AS code
        FROM otel.otel_traces
        WHERE ServiceName IN {suspects:Array(String)}
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + toIntervalMinute(1)
            AND has(tupleElement(shown, 2), TraceId)
    )
    GROUP BY service, trace
),
records AS
(
    SELECT
        ServiceName AS service, TraceId AS trace,
        argMax(
            (
                clew_severity(SeverityText, clew_level(SeverityNumber, SeverityText)),
                left(Body, 500),
                SpanId,
                firstNonDefault(LogAttributes['code.function.name'], LogAttributes['code.function']),
                firstNonDefault(LogAttributes['code.file.path'], LogAttributes['code.filepath']),
                firstNonDefault(LogAttributes['code.line.number'], LogAttributes['code.lineno'])
            ),
            (SeverityNumber >= 13, NOT match(LogAttributes['code.file.path'], {foreign:String}), SeverityNumber, Timestamp)) AS record
    FROM otel.otel_logs
    WHERE ServiceName IN {suspects:Array(String)}
        AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + toIntervalMinute(1)
        AND has(tupleElement(shown, 2), TraceId)
    GROUP BY service, trace
)
SELECT
    example.1 AS service, example.2 AS trace_id, example.3 AS duration_ms, example.4 AS is_error,
    spans.id AS span_id, spans.code AS code, records.record AS record
FROM (SELECT arrayJoin(shown) AS example) AS examples
LEFT JOIN spans ON spans.service = examples.example.1 AND spans.trace = examples.example.2
LEFT JOIN records ON records.service = examples.example.1 AND records.trace = examples.example.2
ORDER BY service, is_error DESC, example.5 DESC, trace_id
