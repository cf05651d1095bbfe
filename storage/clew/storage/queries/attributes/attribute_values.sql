-- The values of one attribute, sorted by {sort} (count or value; the most frequent first, or from A to Z), as far as they were counted.
WITH
counted AS
(
    SELECT Value, sum(attributes.Count) + arraySum(mapValues(maxMap(attributes.Counts))) AS Count
    FROM otel.clew_attributes AS attributes
    WHERE Key = {key:String}
        AND Hour >= toStartOfHour(toDateTime({start:DateTime64(9)})) AND Hour < toDateTime({end:DateTime64(9)})
        AND ({source:Nullable(String)} IS NULL OR Source = {source:Nullable(String)})
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND startsWith(Value, {prefix:String})
    GROUP BY Source, ServiceName, Value, Hour
)
SELECT Value AS value, sum(counted.Count) AS count
FROM counted
GROUP BY value
ORDER BY if({sort:String} = 'value', 0, count) * {sign:Int8} DESC,
    if({sort:String} = 'value' AND {sign:Int8} < 0, value, '') DESC, value
LIMIT {limit:UInt32}
