-- Roots of a transaction in the parts of minutes at the window's ends: what its series has beside whole minutes.
WITH roots_outside AS
(
    SELECT Timestamp, clew_duration(Duration) AS Took, clew_is_error(StatusCode) AS IsError
    FROM otel.otel_traces
    WHERE ServiceName = {service:String} AND ParentSpanId = ''
        AND ({named:Bool} AND SpanName IN {names:Array(String)} OR NOT {named:Bool} AND SpanName NOT IN {names:Array(String)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND (Timestamp < {first_minute:DateTime} OR Timestamp >= {last_minute:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
