-- The edges of some minutes, from all their traces; and for each minute a row without a source and a target, which
-- stands for a minute without edges.
SELECT
    Minute,
    Environment,
    Source,
    Target,
    Type,
    sum(Weight) AS Count,
    sumIf(Weight, IsError) AS Errors,
    sum(Weight * Duration) AS DurationSum,
    max(Duration) AS DurationMax,
    quantilesDDStateIf(0.01, 0.5, 0.9, 0.95, 0.99)(Duration, Weight > 0) AS Sketch,
    toUInt16(max(Weight)) AS OneIn,
    {version:UInt64} AS Version,
    max(Inserted) AS InsertedAt
FROM
(
    SELECT
        clew_minute(Timestamp) AS Minute,
        toString(Environment) AS Environment,
        arrayJoin(arrayZip(Call.Source, Call.Target, Call.Type, Call.Duration, Call.IsError)
            ::Array(Tuple(source String, target String, type String, duration UInt64, is_error Bool))) AS call,
        call.source AS Source,
        call.target AS Target,
        call.type AS Type,
        call.duration AS Duration,
        call.is_error AS IsError,
        toUInt64(settled.OneIn) AS Weight,
        settled.InsertedAt AS Inserted
    FROM otel.clew_settled AS settled FINAL
    WHERE Minute IN {minutes:Array(DateTime)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    UNION ALL
    SELECT arrayJoin({minutes:Array(DateTime)}), '', ('', '', '', 0, false), '', '', '', 0, false, 0, now()
)
GROUP BY Minute, Environment, Source, Target, Type
