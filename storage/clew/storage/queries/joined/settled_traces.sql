-- with entries
-- As settled_named, of traces that are found by their ids, between {from} and {to}.
, settled AS
(
    SELECT
        toUInt64(known.OneIn) AS weight, about.took AS took, about.took > {slower_than:Float64} AS slow, about.last AS last,
        about.keys AS keys, about.slice AS slice,
        known.Path.Service AS services, known.Path.Operation AS operations, known.Path.Kind AS kinds,
        known.Path.Calls AS calls, known.Path.Self AS selves, known.Path.Critical AS criticals,
        known.Call.Source AS sources, known.Call.Target AS targets, known.Call.Type AS types, known.Call.Summary AS summaries,
        known.Call.Duration AS durations, known.Call.IsError AS failures
    FROM otel.clew_settled AS known FINAL
    INNER JOIN
    (
        SELECT TraceId, max(Took) AS took, max(Last) AS last, groupUniqArray(Instance) AS keys,
            intDiv(toUnixTimestamp64Nano(min(Timestamp)) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) AS slice
        FROM entries
        WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64}
        GROUP BY TraceId
    ) AS about ON about.TraceId = known.TraceId
    PREWHERE known.TraceId IN (
        SELECT TraceId FROM entries
        WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64})
        AND known.Timestamp >= {from:DateTime64(9)} AND known.Timestamp <= {to:DateTime64(9)}
)
