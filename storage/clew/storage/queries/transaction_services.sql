-- The services that each automatic transaction's traces went through. A part of the traces is
-- looked at: those with an id below {below}, a stretch of the table's key.
SELECT Entry.ServiceName AS service, Entry.SpanName AS operation, arraySort(groupUniqArrayArray(Services)) AS services
FROM
(
    SELECT TraceId, min(traces.Entry) AS Entry, groupUniqArrayArray(traces.Services) AS Services
    FROM otel.clew_traces AS traces
    WHERE TraceId < {below:String} AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)}
    GROUP BY TraceId
)
WHERE Entry.Rank < 2
    AND ({service:Nullable(String)} IS NULL OR service = {service:Nullable(String)})
    AND ({operation:Nullable(String)} IS NULL OR operation = {operation:Nullable(String)})
GROUP BY service, operation
