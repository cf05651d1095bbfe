-- The rows of some occurrences that lie between two times in nanoseconds.
SELECT
    Transaction AS transaction,
    toUnixTimestamp64Nano(Timestamp) AS time,
    Key AS key,
    toUnixTimestamp64Nano(Start) AS start,
    toUnixTimestamp64Nano(End) AS end
FROM otel.clew_occurrences FINAL
WHERE (Transaction, Key) IN {keys:Array(Tuple(String, String))}
    AND Timestamp >= fromUnixTimestamp64Nano({start:Int64}) AND Timestamp <= fromUnixTimestamp64Nano({end:Int64})
