-- The processes that some traces ran in.
SELECT DISTINCT ServiceName AS service, ResourceAttributes['service.instance.id'] AS instance
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
ORDER BY service, instance
LIMIT {limit:UInt32}
