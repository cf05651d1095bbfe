-- The exporter's lookup from a trace's id to its time, here a view: clew_traces knows it already.
CREATE VIEW IF NOT EXISTS otel.otel_traces_trace_id_ts AS
SELECT TraceId, toDateTime(min(Start)) AS Start, toDateTime(max(End)) AS End
FROM otel.clew_traces
GROUP BY TraceId
