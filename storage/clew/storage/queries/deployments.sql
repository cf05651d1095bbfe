-- When each version of some services was seen first.
SELECT ServiceName AS service, Version AS version, clew_time(min(deployed.FirstSeen)) AS first_seen
FROM otel.clew_deployments AS deployed
WHERE ServiceName IN {services:Array(String)}
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service, version
ORDER BY first_seen DESC
LIMIT {limit:UInt32}
