-- with entries
-- Traces worth opening: the 5 slowest, the 5 latest in error, the 5 nearest the median of
-- those without one, each as an array of trace ids.
SELECT
    groupArraySorted(5)((-toInt64(Took), TraceId)).2 AS slowest,
    groupArraySortedIf(5)((-toUnixTimestamp64Nano(Timestamp), TraceId), IsError).2 AS errors,
    groupArraySortedIf(5)(
        (abs(toFloat64(Took) - (SELECT quantileDD(0.01, 0.5)(Took) FROM entries WHERE NOT IsError)), TraceId),
        NOT IsError).2 AS typical
FROM entries
