-- The beginning of the searches of logs, which end with their order: log records of a stretch of time; {filters} as in
-- trace_search, and on the body. Sequence orders records of one time; those that are the same in all of it are one as
-- good as the other, and {skip} of them were shown. A severity that is no level is one of the texts that records carry.
-- (No common table expression: sorted from outside of one, 50 of 1,000,000 records took 750 ms instead of 150.)
SELECT
    clew_time(Timestamp) AS time,
    clew_severity(SeverityText, Level) AS severity,
    SeverityNumber AS severity_number,
    clew_level_name(Level) AS level,
    EventName AS event_name,
    ServiceName AS service,
    Body AS body,
    LogAttributes AS attributes,
    ResourceAttributes AS resource,
    TraceId AS trace_id,
    SpanId AS span_id,
    toString(sipHash64(ServiceName, SeverityText, EventName, TraceId, SpanId, Body, mapValues(LogAttributes))) AS sequence
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({end:DateTime64(9)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND ({trace_id:Nullable(String)} IS NULL OR TraceId = {trace_id:Nullable(String)})
    AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
    AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
    AND ({event_name:Nullable(String)} IS NULL OR EventName = {event_name:Nullable(String)})
    AND ({severity:Nullable(String)} IS NULL
        OR (Level = clew_level(toUInt8OrZero({severity:Nullable(String)}), {severity:Nullable(String)})
            AND (Level != 0 OR lowerUTF8(SeverityText) = lowerUTF8({severity:Nullable(String)}))))
    /*filters*/
