-- The spans of a chunk of traces, as settling needs them. Ids as numbers: in a trace's arrays they are
-- compared often. Attributes by their place among the keys: 21 lookups take a fifth of what they take by
-- the map's subscript.
--
-- code: the span's kind. type: what a span says it reaches, by its attributes in the conventions of now
-- and before: 1 an external host, 2 a database, 3 a queue it sends to, 4 a queue it takes from.
-- target: its name. summary: what is done there, where the attributes say it.
WITH
spans AS
(
    WITH
        SpanAttributes.keys AS keys,
        SpanAttributes.values AS values,
        firstNonDefault(values[indexOf(keys, 'db.system.name')], values[indexOf(keys, 'db.system')]) AS db,
        firstNonDefault(values[indexOf(keys, 'db.namespace')], values[indexOf(keys, 'db.name')]) AS db_name,
        values[indexOf(keys, 'messaging.system')] AS queue,
        firstNonDefault(values[indexOf(keys, 'messaging.destination.name')], values[indexOf(keys, 'messaging.destination')]) AS queue_name
    SELECT
        TraceId,
        reinterpretAsUInt64(reverse(unhex(SpanId))) AS id,
        reinterpretAsUInt64(reverse(unhex(ParentSpanId))) AS parent,
        toUnixTimestamp64Nano(Timestamp) AS began,
        clew_end(Timestamp, Duration) AS ended,
        StatusCode IN ('Error', 'STATUS_CODE_ERROR') AS failed,
        multiIf(
            SpanKind IN ('Server', 'SPAN_KIND_SERVER'), 1,
            SpanKind IN ('Client', 'SPAN_KIND_CLIENT'), 2,
            SpanKind IN ('Producer', 'SPAN_KIND_PRODUCER'), 3,
            SpanKind IN ('Consumer', 'SPAN_KIND_CONSUMER'), 4,
            0) AS code,
        toString(ServiceName) AS service,
        toString(SpanName) AS name,
        toString(SpanKind) AS kind,
        toString(Environment) AS environment,
        InsertedAt AS inserted,
        multiIf(
            code < 2, 0,
            code != 4 AND db != '', 2,
            queue != '' OR queue_name != '', if(code = 4 OR firstNonDefault(
                values[indexOf(keys, 'messaging.operation.type')],
                values[indexOf(keys, 'messaging.operation')]) IN ('receive', 'process'), 4, 3),
            code = 4, 0,
            1) AS type,
        multiIf(
            type = 2, concat(db, if(db_name != '', '/', ''), db_name),
            type > 2, concat(queue, if(queue != '' AND queue_name != '', '/', ''), queue_name),
            type = 1, firstNonDefault(
                values[indexOf(keys, 'service.peer.name')],
                values[indexOf(keys, 'peer.service')],
                values[indexOf(keys, 'server.address')],
                values[indexOf(keys, 'net.peer.name')],
                domain(concat('//', values[indexOf(keys, 'http.host')])),
                domain(values[indexOf(keys, 'url.full')]),
                domain(values[indexOf(keys, 'http.url')])),
            '') AS target,
        if(type = 2, firstNonDefault(
            values[indexOf(keys, 'db.query.summary')],
            trimBoth(concat(
                firstNonDefault(values[indexOf(keys, 'db.operation.name')], values[indexOf(keys, 'db.operation')]), ' ',
                firstNonDefault(values[indexOf(keys, 'db.collection.name')], values[indexOf(keys, 'db.sql.table')])))),
            '') AS summary
    FROM otel.otel_traces
    WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_settling
        WHERE Pass = {of_pass:UInt64} AND Chunk = {chunk:UInt32}
            AND modulo(cityHash64(TraceId), {parts:UInt64}) = {part:UInt64})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
)
