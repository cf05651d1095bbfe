-- The hours of every series in a window, whole hours: rows of clew_watch_1h.
SELECT
    Hour,
    cityHash64(Kind, Environment, ServiceName, Name) AS Series,
    Kind,
    Environment,
    ServiceName,
    Name,
    sum(Requests) AS Count,
    sum(Failed) AS Errors,
    quantilesDDMerge(0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85,
        0.9, 0.95, 0.98, 0.99)(States) AS Levels,
    sum(Worth) AS Value,
    sum(Lost) AS ValueLost,
    sum(Squares) AS ValueSquares,
    0. AS Worst,
    {version:UInt64} AS Version
FROM
(
    SELECT
        Hour,
        arrayJoin(arrayFilter(k -> k != '', [
            'operation',
            if(IsRoot, 'transaction', ''),
            if(clew_is_entry_kind(SpanKind) OR (IsRoot AND ServiceName NOT IN (
                SELECT ServiceName FROM otel.clew_operations_1h
                WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime} AND clew_is_entry_kind(SpanKind))),
                'service', '')])) AS Kind,
        toString(hours.Environment) AS Environment,
        toString(hours.ServiceName) AS ServiceName,
        if(Kind = 'service', '', toString(SpanName)) AS Name,
        Count AS Requests,
        hours.Errors AS Failed,
        Sketch AS States,
        0. AS Worth,
        0. AS Lost,
        0. AS Squares
    FROM otel.clew_operations_1h AS hours
    WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
    UNION ALL
    SELECT
        toStartOfHour(Minute), 'dependency', toString(Environment), toString(Source), toString(Target), edges.Count,
        edges.Errors, Sketch, 0., 0., 0.
    FROM otel.clew_edges_1m AS edges
    WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime} AND Type IN ('database', 'external', 'queue')
        AND (Minute, Version) IN (
            SELECT Minute, max(Version) FROM otel.clew_edges_1m
            WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
            GROUP BY Minute)
    UNION ALL
    SELECT
        toStartOfHour(clew_minute(Timestamp)) AS hour, 'defined', toString(Environment), '', toString(Transaction), count(),
        countIf(IsError), quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(EntryDuration), sum(ifNull(occurrences.Value, 0)),
        sumIf(ifNull(occurrences.Value, 0), IsError), sum(pow(ifNull(occurrences.Value, 0), 2))
    FROM otel.clew_occurrences AS occurrences FINAL
    WHERE Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
    GROUP BY Environment, Transaction, hour
)
GROUP BY Hour, Kind, Environment, ServiceName, Name
