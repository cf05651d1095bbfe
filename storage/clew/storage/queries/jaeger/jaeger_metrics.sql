-- Calls, errors and a quantile of the durations of services, or of each of their operations: at each of {points}
-- times, {step} seconds apart up to {until}, over the {span} seconds before it. A minute counts where it lies in
-- those seconds with both ends. Times are seconds since 1970; {since} is where the earliest of them begins.
SELECT
    toString(ServiceName) AS service,
    if({by_operation:Bool}, toString(SpanName), '') AS operation,
    arrayJoin(arrayMap(
        number -> {until:UInt32} - number * {step:UInt32},
        range(
            toUInt32(greatest(0, ceil(({until:UInt32} - toUnixTimestamp(Minute) - {span:UInt32}) / {step:UInt32}))),
            toUInt32(least({points:UInt32}, floor(({until:UInt32} - toUnixTimestamp(Minute) - 60) / {step:UInt32}) + 1))))) AS time,
    sum(Count) AS calls,
    sum(rollup.Errors) AS errors,
    quantilesDDMerge(0.01, {quantile:Float64})(Sketch)[1] / 1e6 AS latency_ms
FROM otel.clew_operations_1m AS rollup
WHERE ServiceName IN {services:Array(String)} AND clew_kind_name(SpanKind) IN {kinds:Array(String)}
    AND Minute >= toDateTime({since:UInt32}) AND Minute < toDateTime({until:UInt32})
GROUP BY service, operation, time
ORDER BY service, operation, time
LIMIT {limit:UInt32}
