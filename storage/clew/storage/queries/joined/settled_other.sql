-- As settled_named, of what a service has beyond its first 200 names.
WITH settled AS
(
    SELECT
        toUInt64(OneIn) AS weight, Duration AS took, took > {slower_than:Float64} AS slow, toUInt8(1) AS last, [cityHash64(TraceId)] AS keys,
        intDiv(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) AS slice,
        Path.Service AS services, Path.Operation AS operations, Path.Kind AS kinds,
        Path.Calls AS calls, Path.Self AS selves, Path.Critical AS criticals,
        Call.Source AS sources, Call.Target AS targets, Call.Type AS types, Call.Summary AS summaries,
        Call.Duration AS durations, Call.IsError AS failures
    FROM otel.clew_settled FINAL
    PREWHERE ServiceName = {service:String} AND SpanName NOT IN {names:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64}
    WHERE Rank < 2
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
