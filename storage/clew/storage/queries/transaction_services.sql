-- The services that each automatic transaction's traces went through. A part of the traces is
-- looked at: those with an id below {below}, a stretch of the table's key.
SELECT service, operation, arraySort(groupUniqArrayArray(through)) AS services
FROM
(
    SELECT
        argMinMerge(Entry).6 AS service,
        argMinMerge(Entry).2 AS operation,
        argMinMerge(Entry).3 AS environment,
        min(EntryKey) AS key,
        fromUnixTimestamp64Nano(toInt64(bitAnd(key, 4611686018427387903))) AS began,
        groupUniqArrayArray(Services) AS through
    FROM otel.clew_traces
    WHERE TraceId < {below:String} AND Start < {end:DateTime64(9)} + toIntervalHour(1) AND End >= {start:DateTime64(9)}
    GROUP BY TraceId
)
WHERE bitShiftRight(key, 62) < 2
    AND began >= {start:DateTime64(9)} AND began < {end:DateTime64(9)}
    AND ({environment:Nullable(String)} IS NULL OR environment = {environment:Nullable(String)})
GROUP BY service, operation
