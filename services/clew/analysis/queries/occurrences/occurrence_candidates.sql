-- The batches of a pass: which of its traces the definitions may have to do with, as they have a span that
-- matches, or a key on a span or a log record. `definitions` are (number, service, operation, attributes), ''
-- for any; `sources` are (number, attribute, expression); `names` are the attributes that any of them asks for.
-- A map is cut down to those before it goes into a lambda: what a lambda uses is copied for every element
-- of its array.
SELECT
    {of_pass:UInt64} AS Pass,
    toUInt32(1 + intDiv(
        sum(sum(is_span) * length(Definitions)) OVER (
            ORDER BY TraceId ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        {batch_spans:UInt64})) AS Batch,
    TraceId,
    groupUniqArrayArray(found) AS Definitions
FROM
(
    SELECT
        TraceId,
        is_span,
        arrayConcat(
            arrayMap(definition -> definition.1, arrayFilter(
                definition -> is_span
                    AND (definition.2 = '' OR definition.2 = service)
                    AND (definition.3 = '' OR definition.3 = operation)
                    AND arrayAll(pair -> attributes[pair.1] = pair.2, definition.4),
                {definitions:Array(Tuple(UInt16, String, String, Array(Tuple(String, String))))})),
            if(empty(attributes), [], arrayMap(source -> source.1, arrayFilter(
                source -> clew_taken(attributes, [(source.2, source.3)]) != '',
                {sources:Array(Tuple(UInt16, String, String))})))) AS found
    FROM
    (
        SELECT
            TraceId,
            1 AS is_span,
            ServiceName AS service,
            SpanName AS operation,
            mapUpdate(
                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), ResourceAttributes),
                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), SpanAttributes)
            ) AS attributes
        FROM otel.otel_traces
        WHERE TraceId IN (SELECT TraceId FROM otel.clew_candidates WHERE Pass = {of_pass:UInt64} AND Batch = 0)
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
        UNION ALL
        SELECT
            TraceId,
            0,
            '',
            '',
            mapUpdate(
                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), ResourceAttributes),
                mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), LogAttributes))
        FROM otel.otel_logs
        WHERE TraceId IN (SELECT TraceId FROM otel.clew_candidates WHERE Pass = {of_pass:UInt64} AND Batch = 0)
            AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({logs_start:DateTime64(9)})
            AND Timestamp >= {logs_start:DateTime64(9)} AND Timestamp <= {logs_end:DateTime64(9)}
    )
)
GROUP BY TraceId
HAVING notEmpty(Definitions)
