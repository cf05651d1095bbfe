-- with entries
-- The processes that the traces ran in, as seen in {sample} of them chosen by the hash of their ids; of
-- each service the {each} that most of those went through.
SELECT
    ServiceName AS service,
    ResourceAttributes['service.instance.id'] AS instance,
    any(ResourceAttributes['host.name']) AS host
FROM otel.otel_traces
WHERE TraceId IN (SELECT TraceId FROM entries ORDER BY sipHash64(TraceId) LIMIT {sample:UInt32})
    AND Timestamp >= {from:DateTime64(9)} - toIntervalHour(1)
    AND Timestamp <= {to:DateTime64(9)} + toIntervalHour(1)
GROUP BY service, instance
ORDER BY uniq(TraceId) DESC, service, instance
LIMIT {each:UInt32} BY service
LIMIT {limit:UInt32}
