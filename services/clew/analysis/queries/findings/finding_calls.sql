-- The calls of each transaction in a stretch of time, by their ends and what they do. traces: those with such a call;
-- in failing one of them failed, in repeating there are several. Of {one_in} half minutes one is read. early,
-- late: before and after a time. oldest: traces of the begin.
SELECT
    toString(Environment) AS environment,
    toString(ServiceName) AS entry_service,
    toString(SpanName) AS entry_operation,
    toString(call_source) AS source,
    toString(call_target) AS target,
    toString(call_type) AS type,
    toString(call_summary) AS summary,
    sumIf(toUInt64(OneIn), call_number = 1) * {one_in:UInt32} AS traces,
    sum(toUInt64(OneIn)) * {one_in:UInt32} AS calls,
    sumIf(toUInt64(OneIn), call_is_error) * {one_in:UInt32} AS errors,
    sumIf(toUInt64(OneIn), call_number = 2) * {one_in:UInt32} AS repeating,
    sumIf(toUInt64(OneIn), Timestamp < {early_until:DateTime64(9)}) * {one_in:UInt32} AS early_calls,
    sumIf(toUInt64(OneIn), Timestamp >= {late_since:DateTime64(9)}) * {one_in:UInt32} AS late_calls,
    sum(OneIn * call_duration) * {one_in:UInt32} AS total,
    quantiles(0.5, 0.95)(call_duration) AS quantiles,
    max(call_duration) AS longest,
    groupArrayLastIf(30)((TraceId, toUnixTimestamp64Nano(Timestamp)), call_number = 1) AS newest,
    groupArrayIf(15)((TraceId, toUnixTimestamp64Nano(Timestamp)), call_number = 1) AS oldest,
    groupArrayLastIf(30)((TraceId, toUnixTimestamp64Nano(Timestamp)), call_is_error) AS failing,
    groupArrayLastIf(30)((TraceId, toUnixTimestamp64Nano(Timestamp)), call_number = 2) AS repeated,
    groupArrayLastIf(30)((TraceId, toUnixTimestamp64Nano(Timestamp)), call_duration >= {slow:UInt64}) AS slow
FROM otel.clew_settled FINAL
ARRAY JOIN
    Call.Source AS call_source, Call.Target AS call_target, Call.Type AS call_type, Call.Summary AS call_summary,
    Call.Duration AS call_duration, Call.IsError AS call_is_error,
    arrayEnumerateUniq(Call.Source, Call.Target, Call.Type, Call.Summary) AS call_number
PREWHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
    AND modulo(intDiv(toUnixTimestamp(Timestamp), 30), {one_in:UInt32}) = 0
WHERE Rank < 2
GROUP BY Environment, ServiceName, SpanName, call_source, call_target, call_type, call_summary
ORDER BY total DESC, environment, entry_service, entry_operation, source, target, type, summary
LIMIT {limit:UInt32}
