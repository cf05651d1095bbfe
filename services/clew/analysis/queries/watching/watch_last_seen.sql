-- When each series had its last request, of those that had one in the last three days, by the minute.
SELECT
    any(Kind) AS kind,
    any(Env) AS environment,
    any(Service) AS service,
    any(Subject) AS name,
    cityHash64(kind, environment, service, name) AS series,
    toUnixTimestamp(max(Minute)) AS at
FROM
(
    SELECT
        arrayJoin(arrayFilter(k -> k != '', [
            'operation',
            if(IsRoot, 'transaction', ''),
            if(clew_is_entry_kind(SpanKind) OR (IsRoot AND ServiceName NOT IN (
                SELECT ServiceName FROM otel.clew_watch_1m WHERE Minute < {end:DateTime} AND clew_is_entry_kind(SpanKind))),
                'service', '')])) AS Kind,
        toString(Environment) AS Env,
        toString(ServiceName) AS Service,
        if(Kind = 'service', '', toString(SpanName)) AS Subject,
        Minute
    FROM otel.clew_watch_1m
    WHERE Minute < {end:DateTime}
    UNION ALL
    SELECT 'dependency', toString(Environment), toString(Source), toString(Target), Minute
    FROM otel.clew_edges_1m
    WHERE Minute >= {end:DateTime} - INTERVAL 3 DAY AND Minute < {end:DateTime} AND Type IN ('database', 'external', 'queue')
    UNION ALL
    SELECT 'defined', toString(Environment), '', toString(Transaction), clew_minute(Timestamp)
    FROM otel.clew_occurrences FINAL
    WHERE Timestamp >= {end:DateTime} - INTERVAL 3 DAY AND Timestamp < {end:DateTime}
)
GROUP BY Kind, Env, Service, Subject
