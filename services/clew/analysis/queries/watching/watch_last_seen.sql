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
            'operation', if(IsRoot, 'transaction', ''), if(IsRoot OR clew_is_entry_kind(SpanKind), 'service', '')
        ])) AS Kind,
        toString(Environment) AS Env,
        toString(ServiceName) AS Service,
        if(Kind = 'service', '', toString(SpanName)) AS Subject,
        Minute
    FROM otel.clew_watch_1m
    WHERE Minute < {end:DateTime}
)
GROUP BY Kind, Env, Service, Subject
