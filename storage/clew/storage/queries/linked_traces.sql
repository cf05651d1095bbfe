-- The traces that something is linked to: those named, and every one of a transaction.
WITH traces AS
(
    SELECT arrayJoin({trace_ids:Array(String)}) AS TraceId
    UNION ALL
    SELECT TraceId FROM otel.clew_entries_between(
        service = {service:String}, operation = {operation:String},
        start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
    WHERE {operation:String} != ''
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
