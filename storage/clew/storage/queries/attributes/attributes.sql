-- Which attributes there are, sorted by {sort} (count or key; the most frequent first, or from A to Z), as far as they were counted.
WITH
counted AS
(
    SELECT Source, Key, sum(attributes.Count) + arraySum(mapValues(maxMap(attributes.Counts))) AS Count
    FROM otel.clew_attributes AS attributes
    WHERE Hour >= toStartOfHour(toDateTime({start:DateTime64(9)})) AND Hour < toDateTime({end:DateTime64(9)})
        AND ({source:Nullable(String)} IS NULL OR Source = {source:Nullable(String)})
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND startsWith(Key, {prefix:String})
    GROUP BY Source, Key, ServiceName, Value, Hour
)
SELECT Key AS key, Source AS source, sum(counted.Count) AS count
FROM counted
GROUP BY key, source
ORDER BY if({sort:String} = 'key', 0, count) * {sign:Int8} DESC,
    if({sort:String} = 'key' AND {sign:Int8} < 0, key, '') DESC, key, source
LIMIT {limit:UInt32}
