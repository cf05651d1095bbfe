-- with entries
-- A transaction's entries by time and duration: in steps of {step} seconds, and by the last of {bounds} (nanoseconds,
-- ascending) that is not above the duration, or 0. Cells without entries have no row.
SELECT
    clew_time(toStartOfInterval(toDateTime(Timestamp), toIntervalSecond({step:UInt32}))) AS time,
    roundDown(Took, arrayPushFront({bounds:Array(UInt64)}, 0)) AS bound,
    count() AS count,
    countIf(IsError) AS errors
FROM entries
WHERE Last
GROUP BY time, bound
ORDER BY time, bound
