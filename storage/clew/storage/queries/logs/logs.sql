-- Log records of a stretch of time, newest first; {filters} as in trace_search. Words are looked up in
-- the index on lower(Body), one way or the other; a phrase is looked for where its words are. Sequence orders records of one time;
-- those that are the same in all of it are one as good as the other, and {skip} of them were shown.
SELECT
    clew_time(Timestamp) AS time,
    SeverityText AS severity,
    SeverityNumber AS severity_number,
    ServiceName AS service,
    Body AS body,
    LogAttributes AS attributes,
    ResourceAttributes AS resource,
    TraceId AS trace_id,
    SpanId AS span_id,
    toString(sipHash64(ServiceName, SeverityText, TraceId, SpanId, Body, mapValues(LogAttributes))) AS sequence
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({end:DateTime64(9)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND ({trace_id:Nullable(String)} IS NULL OR TraceId = {trace_id:Nullable(String)})
    AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
    AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
    AND ({severity:Nullable(String)} IS NULL OR upper(SeverityText) = {severity:Nullable(String)}
        OR (SeverityNumber > 0 AND intDiv(SeverityNumber - 1, 4) = {severity_band:UInt8}))
    AND (empty({words:Array(String)}) OR hasAllTokens(lower(Body), {words:Array(String)}))
    AND (empty({phrases:Array(String)}) OR arrayAll(phrase -> position(lower(Body), phrase) > 0, {phrases:Array(String)}))
    AND (empty({unwanted_words:Array(String)}) OR NOT hasAnyTokens(lower(Body), {unwanted_words:Array(String)}))
    AND (empty({unwanted_phrases:Array(String)})
        OR NOT arrayExists(phrase -> position(lower(Body), phrase) > 0, {unwanted_phrases:Array(String)}))
    AND ({after_time:Nullable(DateTime64(9))} IS NULL
        OR Timestamp < {after_time:Nullable(DateTime64(9))}
        OR (Timestamp = {after_time:Nullable(DateTime64(9))} AND sequence <= {after_id:String}))
    /*filters*/
ORDER BY Timestamp DESC, sequence DESC
LIMIT {limit:UInt32} OFFSET {skip:UInt64}
