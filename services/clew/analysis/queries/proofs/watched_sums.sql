-- What each series did in a window: `watched_sums`. Series as in clew_watch_1h.
WITH
    watched_rows AS
    (
        SELECT
            arrayJoin(arrayFilter(k -> k != '', [
                'operation',
                if(IsRoot, 'transaction', ''),
                if(clew_is_entry_kind(SpanKind) OR (IsRoot AND ServiceName NOT IN (
                    SELECT ServiceName FROM otel.clew_operations_1m
                    WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime} AND clew_is_entry_kind(SpanKind))),
                    'service', '')])) AS kind,
            toString(Environment) AS environment,
            toString(ServiceName) AS service,
            if(kind = 'service', '', toString(SpanName)) AS name,
            Count AS requests,
            minutes.Errors AS failed,
            0. AS worth,
            0. AS lost
        FROM otel.clew_operations_1m AS minutes
        WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
        UNION ALL
        SELECT 'dependency', toString(Environment), toString(Source), toString(Target), edges.Count, edges.Errors, 0., 0.
        FROM otel.clew_edges_1m AS edges
        WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime} AND Type IN ('database', 'external', 'queue')
            AND (Minute, Version) IN (
                SELECT Minute, max(Version) FROM otel.clew_edges_1m
                WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
                GROUP BY Minute)
        UNION ALL
        SELECT 'defined', toString(Environment), '', toString(Transaction), 1, IsError, ifNull(Value, 0), if(IsError, ifNull(Value, 0), 0)
        FROM otel.clew_occurrences FINAL
        WHERE Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
    ),
    watched_sums AS
    (
        SELECT kind, environment, service, name,
            toFloat64(sum(watched_rows.requests)) AS requests, toFloat64(sum(watched_rows.failed)) AS failed,
            sum(watched_rows.worth) AS worth, sum(watched_rows.lost) AS lost
        FROM watched_rows
        GROUP BY kind, environment, service, name
    )
