-- with entries
-- Exemplars of the points of some series of more than one kind.
, exemplars AS
(
    SELECT Stream AS series, Exemplars.TraceId AS trace_ids
    FROM otel.otel_metrics_histogram
    WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
        AND ServiceName IN {services:Array(String)} AND MetricName IN {metrics:Array(String)}
        AND Stream IN {series:Array(UInt64)} AND bitAnd(Flags, 1) = 0
    UNION ALL
    SELECT Stream, Exemplars.TraceId
    FROM otel.otel_metrics_gauge
    WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
        AND ServiceName IN {services:Array(String)} AND MetricName IN {metrics:Array(String)}
        AND Stream IN {series:Array(UInt64)} AND bitAnd(Flags, 1) = 0 AND isFinite(Value)
    UNION ALL
    SELECT Stream, Exemplars.TraceId
    FROM otel.otel_metrics_sum
    WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
        AND ServiceName IN {services:Array(String)} AND MetricName IN {metrics:Array(String)}
        AND Stream IN {series:Array(UInt64)} AND bitAnd(Flags, 1) = 0 AND isFinite(Value)
)
