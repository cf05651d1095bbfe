-- What was dropped in the window to keep the database below its limit.
SELECT
    toString(dropped.Time) AS time,
    dropped.Table AS table,
    dropped.Partition AS partition,
    sum(dropped.Rows) AS rows,
    sum(dropped.Bytes) AS bytes,
    dropped.Reason AS reason
FROM otel.clew_expired AS dropped
WHERE dropped.Time >= {start:DateTime64(9)} AND dropped.Time < {end:DateTime64(9)}
GROUP BY ALL
ORDER BY time, table, partition
LIMIT {limit:UInt32}
