-- Span names by service: how many there are, and how many have an id in them: a number of three digits or more, a
-- UUID, or 16 hex digits.
SELECT
    ServiceName AS service,
    uniqCombined(SpanName) AS names,
    uniqCombinedIf(SpanName, has_id) AS names_with_ids,
    groupUniqArrayIf(3)(substring(SpanName, 1, 100), has_id) AS examples
FROM
(
    SELECT ServiceName, toString(SpanName) AS SpanName,
        match(SpanName, '(^|[^A-Za-z0-9])([0-9]{3,}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{22}|[0-9a-f]{16,})([^A-Za-z0-9]|$)') AS has_id
    FROM otel.clew_operations_1m
    WHERE Minute >= toStartOfMinute({start:DateTime64(9)}) AND Minute < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    GROUP BY ServiceName, SpanName
)
GROUP BY service
ORDER BY names_with_ids DESC, names DESC, service
LIMIT {limit:UInt32}
