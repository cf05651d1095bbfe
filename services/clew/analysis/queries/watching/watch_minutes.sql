-- What each series did in a window, in slots of `step` seconds from its start on: the rows that the watcher judges. `levels`: nanoseconds, at
-- the quantiles 0.05 to 0.95 in steps of 0.05, then 0.98 and 0.99. Series as in clew_watch_1h.
SELECT
    cityHash64(kind, environment, service, name) AS series,
    any(Kind) AS kind,
    any(Env) AS environment,
    any(Service) AS service,
    any(Subject) AS name,
    toUnixTimestamp({start:DateTime}) + intDiv(toUnixTimestamp(Minute) - toUnixTimestamp({start:DateTime}), {step:UInt32})
        * {step:UInt32} AS at,
    sum(Requests) AS count,
    sum(Failed) AS errors,
    quantilesDDMerge(0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85,
        0.9, 0.95, 0.98, 0.99)(States) AS levels,
    sum(Worth) AS value,
    sum(Lost) AS value_lost
FROM
(
    SELECT
        arrayJoin(arrayFilter(k -> k != '', [
            'operation',
            if(IsRoot, 'transaction', ''),
            if(clew_is_entry_kind(SpanKind) OR (IsRoot AND ServiceName NOT IN (
                SELECT ServiceName FROM otel.clew_watch_1m
                WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime} AND clew_is_entry_kind(SpanKind))),
                'service', '')])) AS Kind,
        toString(Environment) AS Env,
        toString(ServiceName) AS Service,
        if(Kind = 'service', '', toString(SpanName)) AS Subject,
        Minute,
        Count AS Requests,
        minutes.Errors AS Failed,
        Sketch AS States,
        0. AS Worth,
        0. AS Lost
    FROM otel.clew_watch_1m AS minutes
    WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
    UNION ALL
    SELECT
        'dependency', toString(Environment), toString(Source), toString(Target), Minute, edges.Count, edges.Errors, Sketch,
        0., 0.
    FROM otel.clew_edges_1m AS edges
    WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime} AND Type IN ('database', 'external', 'queue')
        AND (Minute, Version) IN (
            SELECT Minute, max(Version) FROM otel.clew_edges_1m
            WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
            GROUP BY Minute)
    UNION ALL
    SELECT
        'defined', toString(Environment), '', toString(Transaction), clew_minute(Timestamp), count(), countIf(IsError),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(EntryDuration), sum(ifNull(Value, 0)), sumIf(ifNull(Value, 0), IsError)
    FROM otel.clew_occurrences FINAL
    WHERE Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
    GROUP BY Environment, Transaction, clew_minute(Timestamp)
)
GROUP BY Kind, Env, Service, Subject, at
ORDER BY at
