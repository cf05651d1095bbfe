-- The operations of each transaction in a stretch of time. repeating: the traces in which one parent has five spans or
-- more of the operation; repeated: the newest of them. newest: of all its traces. Of {one_in} half minutes one is read: of
-- the others only their times, for Timestamp is in the key. Traces are (id, start). early, late: before and after a time, for rules that look for a change; self_quantiles:
-- p50 and p95 of the own time of a call, by the trace.
SELECT
    toString(Environment) AS environment,
    toString(ServiceName) AS entry_service,
    toString(SpanName) AS entry_operation,
    toString(path_service) AS service,
    toString(path_operation) AS operation,
    toString(path_kind) AS kind,
    sum(toUInt64(OneIn)) * {one_in:UInt32} AS traces,
    sum(OneIn * path_calls) * {one_in:UInt32} AS calls,
    sum(OneIn * path_self) * {one_in:UInt32} AS self,
    sumIf(OneIn * path_calls, Timestamp < {early_until:DateTime64(9)}) * {one_in:UInt32} AS early_calls,
    sumIf(OneIn * path_self, Timestamp < {early_until:DateTime64(9)}) * {one_in:UInt32} AS early_self,
    sumIf(OneIn * path_calls, Timestamp >= {late_since:DateTime64(9)}) * {one_in:UInt32} AS late_calls,
    sumIf(OneIn * path_self, Timestamp >= {late_since:DateTime64(9)}) * {one_in:UInt32} AS late_self,
    quantiles(0.5, 0.95)(path_self / greatest(1, path_calls)) AS self_quantiles,
    sumIf(toUInt64(OneIn), path_most >= {repetitions:UInt32}) * {one_in:UInt32} AS repeating,
    groupArrayLastIf(30)((TraceId, toUnixTimestamp64Nano(Timestamp)), path_most >= {repetitions:UInt32}) AS repeated,
    groupArrayLast(30)((TraceId, toUnixTimestamp64Nano(Timestamp))) AS newest
FROM otel.clew_settled FINAL
ARRAY JOIN
    Path.Service AS path_service, Path.Operation AS path_operation, Path.Kind AS path_kind, Path.Calls AS path_calls,
    Path.Self AS path_self, Path.Most AS path_most
PREWHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
    AND modulo(intDiv(toUnixTimestamp(Timestamp), 30), {one_in:UInt32}) = 0
WHERE Rank < 2
GROUP BY Environment, ServiceName, SpanName, path_service, path_operation, path_kind
ORDER BY self DESC, environment, entry_service, entry_operation, service, operation, kind
LIMIT {limit:UInt32}
