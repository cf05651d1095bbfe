-- The processes of one trace, and the nanoseconds since 1970 between which each had spans of it.
WITH (SELECT (min(Start), max(End)) FROM otel.clew_traces WHERE TraceId = {trace_id:String}) AS extent
SELECT
    ServiceName AS service,
    ResourceAttributes['service.instance.id'] AS instance,
    min(toUnixTimestamp64Nano(Timestamp)) AS began,
    max(clew_end(Timestamp, Duration)) AS ended
FROM otel.otel_traces
WHERE TraceId = {trace_id:String} AND Timestamp >= extent.1 AND Timestamp <= extent.2
GROUP BY service, instance
ORDER BY service, instance
LIMIT {limit:UInt32}
