-- Which log records without a trace from some processes to show, chosen as in trace_log_keys. Those that are no errors are of the
-- first {part} of every {stride} nanoseconds.
SELECT toString(toStartOfFiveMinutes(Timestamp)) AS slot, ServiceName AS service, toString(Timestamp) AS time, '' AS trace_id, SpanId AS span_id, Level AS severity
FROM
(
    SELECT ServiceName, Timestamp, SpanId, Level, multiIf(Level >= 17, 2, Level >= 13, 1, 0) AS gravity,
        row_number() OVER (
            PARTITION BY gravity, intDiv(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {spread:UInt64})
            ORDER BY Timestamp DESC, ServiceName, SpanId) AS place
    FROM otel.otel_logs
    PREWHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
        AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({end:DateTime64(9)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
        AND TraceId = '' AND ServiceName IN {services:Array(String)}
        AND (Level >= 17 OR modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64})
    WHERE (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))}
)
ORDER BY gravity DESC, place, Timestamp DESC, ServiceName, SpanId
LIMIT {limit:UInt32}
