-- The requests of a service in slots of {step} seconds: those that it took, or, if it took none, the traces that begin in it.
SELECT
    toUInt32(toStartOfInterval(Minute, toIntervalSecond({step:UInt32}))) AS at,
    sum(if(clew_is_entry_kind(SpanKind), rollup.Count, 0)) AS taken,
    sum(if(IsRoot, rollup.Count, 0)) AS begun,
    quantilesDDMergeIf(0.01, 0.5, 0.95)(Sketch, clew_is_entry_kind(SpanKind) OR IsRoot)[2] / 1e6 AS p95
FROM otel.clew_operations_1m AS rollup
WHERE ServiceName = {service:String}
    AND Minute >= toDateTime({start:DateTime64(9)}) AND Minute < toDateTime({end:DateTime64(9)})
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY at
ORDER BY at
