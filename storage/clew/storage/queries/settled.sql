-- with entries
-- What is known of the traces as settled wholes; slow where the transaction took more than {slower_than}
-- nanoseconds. An automatic transaction's traces lie together in the table's key; any others are found by
-- their ids, between {from} and {to}. (PREWHERE: on columns of the key, so that FINAL puts together no
-- more than what is asked for.)
, settled AS
(
    SELECT
        toUInt64(OneIn) AS weight, Duration AS took, took > {slower_than:Float64} AS slow, toUInt8(1) AS last,
        Path.Service AS services, Path.Operation AS operations, Path.Kind AS kinds,
        Path.Calls AS calls, Path.Self AS selves, Path.Critical AS criticals,
        Call.Source AS sources, Call.Target AS targets, Call.Type AS types, Call.Summary AS summaries,
        Call.Duration AS durations, Call.IsError AS failures
    FROM otel.clew_settled FINAL
    PREWHERE {automatic:Bool} AND ServiceName = {service:String}
        AND ({named:Bool} AND SpanName IN {names:Array(String)} OR NOT {named:Bool} AND SpanName NOT IN {names:Array(String)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    WHERE Rank < 2
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT
        toUInt64(known.OneIn), about.took, about.took > {slower_than:Float64}, about.last,
        known.Path.Service, known.Path.Operation, known.Path.Kind,
        known.Path.Calls, known.Path.Self, known.Path.Critical,
        known.Call.Source, known.Call.Target, known.Call.Type, known.Call.Summary,
        known.Call.Duration, known.Call.IsError
    FROM otel.clew_settled AS known FINAL
    INNER JOIN
    (
        SELECT TraceId, max(Took) AS took, max(Last) AS last
        FROM entries
        WHERE NOT {automatic:Bool}
        GROUP BY TraceId
    ) AS about ON about.TraceId = known.TraceId
    PREWHERE NOT {automatic:Bool} AND known.TraceId IN (SELECT TraceId FROM entries WHERE NOT {automatic:Bool})
        AND known.Timestamp >= {from:DateTime64(9)} AND known.Timestamp <= {to:DateTime64(9)}
)
