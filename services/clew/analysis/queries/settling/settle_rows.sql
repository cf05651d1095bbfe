-- The spans of a few traces as they are stored: what settle_spans and settle_traces make of spans, Python computes for
-- few of them (clew.analysis.traces.few), since planning those statements takes longer. Kept short for the same reason.
--
-- attributes: those in `names`, in the order in which they are stored; the texts of those in `bare` are left out.
-- domains: of the attributes' texts, side by side with them.
SELECT
    TraceId AS trace_id,
    reinterpretAsUInt64(reverse(unhex(SpanId))) AS id,
    reinterpretAsUInt64(reverse(unhex(ParentSpanId))) AS parent,
    toUnixTimestamp64Nano(Timestamp) AS began,
    clew_end(Timestamp, Duration) AS ended,
    toBool(clew_is_error(StatusCode)) AS failed,
    ServiceName AS service,
    SpanName AS name,
    SpanKind AS kind,
    Environment AS environment,
    toUnixTimestamp(InsertedAt) AS inserted,
    arrayMap(
        pair -> (pair.1, if(has({bare:Array(String)}, pair.1), '', pair.2)),
        arrayFilter(
            pair -> has({names:Array(String)}, pair.1),
            arrayZip(SpanAttributes.keys, SpanAttributes.values))) AS attributes,
    arrayMap(pair -> domain(if(pair.1 = 'http.host', concat('//', pair.2), pair.2)), attributes) AS domains
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
