-- What is known of some traces as wholes. One without a root or an entry span belongs to no automatic
-- transaction.
SELECT
    TraceId AS trace_id,
    argMinMerge(traces.Entry).ServiceName AS root_service,
    argMinMerge(traces.Entry).SpanName AS root_operation,
    if(clew_has_entry(min(EntryKey)), clew_transaction_id(root_service, root_operation), NULL) AS transaction_id,
    clew_time(min(traces.Start)) AS start,
    clew_time(max(traces.End)) AS end,
    (toUnixTimestamp64Nano(max(traces.End)) - toUnixTimestamp64Nano(min(traces.Start))) / 1e6 AS duration_ms,
    sum(SpanCount) AS span_count,
    sum(ErrorCount) AS error_count,
    arraySort(groupUniqArrayArray(traces.Services)) AS services
FROM otel.clew_traces AS traces
WHERE TraceId IN {trace_ids:Array(String)}
GROUP BY TraceId
