-- with log_records
-- Which log records to show, of those with a trace and of those without: errors first, then warnings, then the others; of each
-- the newest of every {spread} nanoseconds, before the second newest of any, so that they are spread over the window.
-- These are their keys: linked_logs reads the records. Read in one statement, each granule of the window was read.
-- (The inner LIMIT: only as many are ranked as can be shown. To rank all took half of the time.)
SELECT toString(toStartOfFiveMinutes(Timestamp)) AS slot, ServiceName AS service, toString(Timestamp) AS time,
    TraceId AS trace_id, SpanId AS span_id, Level AS severity
FROM
(
    SELECT *, row_number() OVER (PARTITION BY without_trace, gravity, bin ORDER BY Timestamp DESC, process, TraceId, SpanId) AS place
    FROM
    (
        SELECT *, TraceId = '' AS without_trace, multiIf(Level >= 17, 2, Level >= 13, 1, 0) AS gravity,
            if(without_trace, ServiceName, '') AS process,
            intDiv(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {spread:UInt64}) AS bin
        FROM records
        ORDER BY Timestamp DESC, process, TraceId, SpanId
        LIMIT {limit:UInt32} BY without_trace, gravity, bin
    )
)
ORDER BY gravity DESC, place, Timestamp DESC, process, TraceId, SpanId
LIMIT {limit:UInt32} BY trace_id = ''
