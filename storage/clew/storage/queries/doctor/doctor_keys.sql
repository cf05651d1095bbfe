-- Services with many attribute keys: ids in keys, most likely. As far as they were counted.
SELECT
    ServiceName AS service,
    Source AS source,
    uniqCombined(Key) AS keys,
    groupUniqArray(3)(substring(toString(Key), 1, 100)) AS examples
FROM otel.clew_attributes
WHERE Hour >= toStartOfHour(toDateTime({start:DateTime64(9)})) AND Hour < toDateTime({end:DateTime64(9)})
GROUP BY service, source
HAVING keys >= {fewest:UInt64}
ORDER BY keys DESC, service, source
LIMIT {limit:UInt32}
