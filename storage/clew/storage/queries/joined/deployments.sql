-- When each version of some services was seen first.
SELECT ServiceName AS service, ServiceVersion AS version, clew_time(min(seen.FirstSeen)) AS first_seen
FROM otel.clew_operations AS seen
WHERE ServiceName IN {services:Array(String)} AND ServiceVersion != ''
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service, version
ORDER BY first_seen DESC, service, version
LIMIT {limit:UInt32}
