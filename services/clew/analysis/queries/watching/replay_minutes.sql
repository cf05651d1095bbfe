-- What some series did in each minute of a window, as columns by series: `minutes` from the start on. `services` and `names`
-- are those of the series: they choose what is read, `series` decides.
SELECT
    series,
    groupArray(minute) AS minutes,
    groupArray(toFloat64(requests)) AS counts,
    groupArray(toFloat64(failed)) AS errors,
    groupArray(worth) AS values,
    groupArray(lost) AS values_lost
FROM
(
    SELECT
        id AS series,
        intDiv(toUnixTimestamp(Minute) - toUnixTimestamp({start:DateTime}), 60) AS minute,
        sum(Requests) AS requests,
        sum(Failed) AS failed,
        sum(Worth) AS worth,
        sum(Lost) AS lost
    FROM
    (
        SELECT
            arrayJoin(arrayFilter(id -> has({series:Array(UInt64)}, id), clew_watched_series(
                Environment, ServiceName, SpanName, IsRoot,
                clew_is_entry_kind(SpanKind) OR (IsRoot AND ServiceName NOT IN (
                    SELECT ServiceName FROM otel.clew_operations_1h
                    WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime} AND clew_is_entry_kind(SpanKind)))))) AS id,
            Minute,
            Count AS Requests,
            minutes.Errors AS Failed,
            0. AS Worth,
            0. AS Lost
        FROM otel.clew_operations_1m AS minutes
        WHERE ServiceName IN {services:Array(String)} AND (empty({names:Array(String)}) OR SpanName IN {names:Array(String)})
            AND Minute >= {start:DateTime} AND Minute < {end:DateTime}
        UNION ALL
        SELECT
            cityHash64('dependency', Environment, Source, Target), Minute, edges.Count, edges.Errors, 0., 0.
        FROM otel.clew_edges_1m AS edges
        WHERE Source IN {services:Array(String)} AND Target IN {names:Array(String)}
            AND Minute >= {start:DateTime} AND Minute < {end:DateTime} AND Type IN ('database', 'external', 'queue')
            AND (Minute, Version) IN (
                SELECT Minute, max(Version) FROM otel.clew_edges_1m
                WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
                GROUP BY Minute)
        UNION ALL
        SELECT
            cityHash64('defined', Environment, '', Transaction), clew_minute(Timestamp), count(), countIf(IsError),
            sum(ifNull(Value, 0)), sumIf(ifNull(Value, 0), IsError)
        FROM otel.clew_occurrences FINAL
        WHERE Transaction IN {names:Array(String)} AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
        GROUP BY Environment, Transaction, clew_minute(Timestamp)
    )
    WHERE has({series:Array(UInt64)}, id)
    GROUP BY id, minute
)
GROUP BY series
