-- The slowest traces that began within two minutes after one of some times, given with the service that started then, by their entry.
WITH arrayZip({services:Array(String)}, {starts:Array(UInt32)}) AS starts
SELECT
    toString(Environment) AS environment,
    toString(ServiceName) AS entry_service,
    toString(SpanName) AS entry_operation,
    start.1 AS service,
    arrayMap(
        trace -> (trace.2, trace.3),
        arraySlice(arrayReverseSort(groupArray((settled.Duration, TraceId, toUnixTimestamp64Nano(Timestamp)))), 1, 30)) AS slow
FROM otel.clew_settled AS settled FINAL
ARRAY JOIN starts AS start
WHERE Timestamp >= toDateTime(arrayMin({starts:Array(UInt32)})) AND Timestamp < toDateTime(arrayMax({starts:Array(UInt32)}) + 120) AND Rank < 2
    AND Timestamp >= toDateTime(start.2) AND Timestamp < toDateTime(start.2 + 120) AND has(Services, start.1)
    AND Duration >= 20000000
GROUP BY environment, entry_service, entry_operation, service
ORDER BY environment, entry_service, entry_operation, service
LIMIT {limit:UInt32}
