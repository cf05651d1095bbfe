-- The rows of clew_occurrence_traces of some occurrences, in all their versions, at most `limit` of them.
SELECT
    Transaction AS transaction,
    Key AS key,
    TraceId AS trace_id,
    toUnixTimestamp64Nano(Start) AS start,
    toUnixTimestamp64Nano(End) AS end,
    Environment AS environment,
    arrayMap(
        (start, span_id, service, operation, duration, is_error) -> (
            toUnixTimestamp64Nano(start), span_id, service, operation, duration, is_error),
        Entry.Start, Entry.SpanId, Entry.Service, Entry.Operation, Entry.Duration, Entry.IsError) AS entries,
    RootIsError AS root_is_error,
    SpanCount AS span_count,
    ErrorCount AS error_count,
    Services AS services,
    Busy AS busy,
    User AS user,
    Value AS value,
    arrayMap(
        (number, start, service, duration, is_error) -> (
            number, toUnixTimestamp64Nano(start), service, duration, is_error),
        Step.Number, Step.Start, Step.Service, Step.Duration, Step.IsError) AS steps,
    Version AS version,
    IsDeleted AS is_deleted
FROM otel.clew_occurrence_traces
WHERE (Transaction, Key) IN {keys:Array(Tuple(String, String))}
LIMIT {limit:UInt64}
