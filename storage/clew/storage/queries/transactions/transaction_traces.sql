-- with entries
-- Traces worth opening: the 5 slowest, the 5 latest in error, the 5 nearest the median of
-- those without one, each as an array of trace ids, and one trace of each occurrence. Of a frequent transaction the median, and what is near
-- it, are looked for in the first {part} of every {stride} nanoseconds, and none of the slowest took less than
-- {slow} nanoseconds: a tuple for each of its traces costs more than reading them.
SELECT
    groupArraySortedIf(5)((-toInt64(Took), TraceId), Last AND Took >= {slow:Float64}).2 AS slowest,
    groupArraySortedIf(5)((-toUnixTimestamp64Nano(Timestamp), TraceId), Failed AND IsError).2 AS errors,
    groupArraySortedIf(5)(
        (abs(toFloat64(Took) - (SELECT quantileDD(0.01, 0.5)(Took) FROM entries
            WHERE Last AND NOT IsError AND modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64})), TraceId),
        Last AND NOT IsError AND in_slice).2 AS typical
FROM
(
    SELECT *, modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64} AS in_slice
    FROM entries
)
WHERE in_slice OR IsError OR Took >= {slow:Float64}
