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
    quantilesDDMerge(0.01, 0.5, 0.75, 0.95)(States)[1] / 1e6 AS P50,
    quantilesDDMerge(0.01, 0.5, 0.75, 0.95)(States)[2] / 1e6 AS P75,
    quantilesDDMerge(0.01, 0.5, 0.75, 0.95)(States)[3] / 1e6 AS P95,
    sum(Worth) AS Value,
    sum(Lost) AS ValueLost,
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
        0. AS Lost
    FROM otel.clew_operations_1h AS hours
    WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
    UNION ALL
    SELECT
        toStartOfHour(Minute), 'dependency', toString(Environment), toString(Source), toString(Target), edges.Count,
        edges.Errors, Sketch, 0., 0.
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
        sumIf(ifNull(occurrences.Value, 0), IsError)
    FROM otel.clew_occurrences AS occurrences FINAL
    WHERE Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
    GROUP BY Environment, Transaction, hour
)
GROUP BY Hour, Kind, Environment, ServiceName, Name
