-- What the versions of some services did in each hour of a window: durations in nanoseconds at p50, p75, p95 and p98, and the last minute. Series as in
-- clew_watch_1h.
SELECT
    arrayJoin(clew_watched_series(Environment, ServiceName, SpanName, IsRoot,
        clew_is_entry_kind(SpanKind) OR (IsRoot AND ServiceName NOT IN (
            SELECT ServiceName FROM otel.clew_operations_1h
            WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime} AND clew_is_entry_kind(SpanKind))))) AS series,
    toString(ServiceVersion) AS version,
    toUnixTimestamp(toStartOfHour(Minute)) AS hour,
    sum(minutes.Count) AS count,
    sum(minutes.Errors) AS errors,
    toUnixTimestamp(max(Minute)) AS last,
    quantilesDDMerge(0.01, 0.5, 0.75, 0.95, 0.98)(Sketch) AS levels
FROM otel.clew_operations_1m AS minutes
WHERE ServiceName IN {services:Array(String)} AND Minute >= {start:DateTime} AND Minute < {end:DateTime}
GROUP BY series, version, hour
ORDER BY series, hour, version
LIMIT {limit:UInt32}
