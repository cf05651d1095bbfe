-- The batches of a pass: the traces that definitions may have to do with, each with the numbers of those
-- definitions. A trace is a candidate for a definition when one of its spans matches, or when a span or a log
-- record carries the key. '' in a definition means any; `names` are the attributes that definitions read. Maps
-- are cut down to those before a lambda uses them: what a lambda uses is copied for every element of its array.
WITH
pass_traces AS
(
    SELECT TraceId FROM otel.clew_candidates WHERE Pass = {of_pass:UInt64} AND Batch = 0
),
records AS
(
    SELECT
        1 AS is_span,
        TraceId,
        ServiceName AS service,
        SpanName AS operation,
        mapUpdate(
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), ResourceAttributes),
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), SpanAttributes)
        ) AS attributes
    FROM otel.otel_traces
    WHERE TraceId IN pass_traces
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
    UNION ALL
    SELECT
        0, TraceId, '', '',
        mapUpdate(
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), ResourceAttributes),
            mapFilter((name, value) -> value != '' AND has({names:Array(String)}, name), LogAttributes))
    FROM otel.otel_logs
    WHERE TraceId IN pass_traces
        AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({logs_start:DateTime64(9)})
        AND Timestamp >= {logs_start:DateTime64(9)} AND Timestamp <= {logs_end:DateTime64(9)}
),
numbered AS
(
    SELECT
        TraceId,
        is_span,
        arrayConcat(
            arrayFilter(
                definition -> is_span
                    AND (definition.service = '' OR definition.service = service)
                    AND (definition.operation = '' OR definition.operation = operation)
                    AND arrayAll(pair -> attributes[pair.name] = pair.value, definition.attributes),
                {definitions:Array(Tuple(
                    number UInt16, service String, operation String,
                    attributes Array(Tuple(name String, value String))))}).number,
            if(empty(attributes), [], arrayFilter(
                source -> clew_taken(attributes, [(source.attribute, source.expression)]) != '',
                {sources:Array(Tuple(number UInt16, attribute String, expression String))}).number)) AS numbers
    FROM records
)
SELECT
    {of_pass:UInt64} AS Pass,
    toUInt32(1 + intDiv(
        sum(sum(is_span) * length(Definitions)) OVER (
            ORDER BY TraceId ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        {batch_spans:UInt64})) AS Batch,
    TraceId,
    groupUniqArrayArray(numbers) AS Definitions
FROM numbered
GROUP BY TraceId
HAVING notEmpty(Definitions)
