-- What two versions of a series of spans did in each hour of a window: requests, failed ones, and p50, p75, p95 and p98 in
-- milliseconds. {entries}, {roots} and {name} as in proof_spans.sql.
SELECT
    toUnixTimestamp(toStartOfHour(Minute)) AS hour,
    toString(ServiceVersion) AS version,
    sum(minutes.Count) AS requests,
    sum(minutes.Errors) AS failed,
    arrayMap(ns -> ns / 1e6, quantilesDDMerge(0.01, 0.5, 0.75, 0.95, 0.98)(Sketch)) AS p50_p75_p95_p98_ms
FROM otel.clew_operations_1m AS minutes
WHERE ServiceName = {service:String} AND ({name:String} = '' OR SpanName = {name:String})
    AND Environment = {environment:String} AND ServiceVersion IN ({old:String}, {new:String})
    AND Minute >= {start:DateTime} AND Minute < {end:DateTime}
    AND (NOT {roots:Bool} OR IsRoot)
    AND (NOT {entries:Bool} OR clew_is_entry_kind(SpanKind) OR (IsRoot AND ServiceName NOT IN (
        SELECT ServiceName FROM otel.clew_operations_1h
        WHERE ServiceName = {service:String} AND Hour >= {start:DateTime} AND Hour < {end:DateTime}
            AND clew_is_entry_kind(SpanKind)
        LIMIT 1)))
GROUP BY hour, version
ORDER BY hour, version
