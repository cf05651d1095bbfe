-- Log records in which secrets are looked for: some of each service and level, of one of {one_in}. Long values are
-- cut off.
SELECT
    ServiceName AS service,
    substring(Body, 1, 2000) AS body,
    mapApply((key, value) -> (toString(key), substring(value, 1, 2000)), LogAttributes) AS attributes
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND modulo(cityHash64(Timestamp), {one_in:UInt64}) = 0
    AND ({environment:Nullable(String)} IS NULL
        OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
LIMIT 100 BY ServiceName, Level
LIMIT {limit:UInt32}
