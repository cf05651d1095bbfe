-- What some series did in the minutes of a window: `replay_rows`, one or several rows of a series and minute. `services` and `names` are those of
-- the series: they choose what is read, `series` decides.
WITH
    replay_rows AS
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
            Sketch AS States,
            0. AS Worth,
            0. AS Lost
        FROM otel.clew_operations_1m AS minutes
        WHERE ServiceName IN {services:Array(String)} AND (empty({names:Array(String)}) OR SpanName IN {names:Array(String)})
            AND Minute >= {start:DateTime} AND Minute < {end:DateTime}
        UNION ALL
        SELECT cityHash64('dependency', Environment, Source, Target) AS id, Minute, edges.Count, edges.Errors, Sketch, 0., 0.
        FROM otel.clew_edges_1m AS edges
        WHERE Source IN {services:Array(String)} AND Target IN {names:Array(String)}
            AND Minute >= {start:DateTime} AND Minute < {end:DateTime} AND Type IN ('database', 'external', 'queue')
            AND has({series:Array(UInt64)}, id)
            AND (Minute, Version) IN (
                SELECT Minute, max(Version) FROM otel.clew_edges_1m
                WHERE Minute >= {start:DateTime} AND Minute < {end:DateTime}
                GROUP BY Minute)
        UNION ALL
        SELECT
            cityHash64('defined', Environment, '', Transaction) AS id, clew_minute(Timestamp), count(), countIf(IsError),
            quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(EntryDuration), sum(ifNull(Value, 0)), sumIf(ifNull(Value, 0), IsError)
        FROM otel.clew_occurrences FINAL
        WHERE Transaction IN {names:Array(String)} AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
            AND has({series:Array(UInt64)}, id)
        GROUP BY Environment, Transaction, clew_minute(Timestamp)
    )
