-- The entries of an automatic transaction whose traces are known by their roots alone. (Columns as in
-- entries_traces.)
WITH entries AS
(
    SELECT TraceId, Timestamp, clew_duration(Duration) AS Took, clew_is_error(StatusCode) AS IsError,
        toUInt8(1) AS Last, toUInt8(1) AS Failed, cityHash64(TraceId) AS Instance
    FROM otel.otel_traces
    WHERE ServiceName = {service:String} AND ParentSpanId = '' AND SpanName IN {names:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
