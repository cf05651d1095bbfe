-- One transaction over time; {step} is a multiple of 60 s.
SELECT
    clew_time(toStartOfInterval(Minute, toIntervalSecond({step:UInt32}))) AS time,
    sum(Count) AS count,
    sum(rollup.Errors) AS errors,
    arrayMap(x -> x / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)) AS quantiles
FROM otel.clew_transactions_between(start = {start:DateTime64(9)}, end = {end:DateTime64(9)}) AS rollup
WHERE ServiceName = {service:String} AND SpanName = {operation:String}
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY time
ORDER BY time
