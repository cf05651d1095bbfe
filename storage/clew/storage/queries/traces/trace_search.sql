-- The newest traces that began in a stretch of the window, since {since} and before {until}; {filters}
-- stands for what clew.storage.filters made of the request. One pass over the rows of that time: of a
-- trace that is not merged yet some may lie outside, so who reads the traces as wholes leaves out those
-- that began before, and looks at durations.
SELECT TraceId AS trace_id, clew_time(min(traces.Start) AS began) AS start
FROM otel.clew_traces AS traces
WHERE Start < {until:DateTime64(9)} + toIntervalHour(1) AND End >= {since:DateTime64(9)}
    /*filters*/
GROUP BY trace_id
HAVING began >= {since:DateTime64(9)} AND began < {until:DateTime64(9)}
    AND (began, trace_id) < ({after_time:DateTime64(9)}, {after_id:String})
    AND reinterpretAsInt64(max(traces.End)) - reinterpretAsInt64(began) BETWEEN {min_duration_ms:Float64} * 1e6
        AND {max_duration_ms:Float64} * 1e6
ORDER BY began DESC, trace_id DESC
LIMIT {limit:UInt32}
