-- All traces of the occurrences of a defined transaction that have these entries, and the time that they cover.
SELECT EntryTraceId AS entry, TraceIds AS trace_ids, clew_time(Start) AS start, clew_time(End) AS end
FROM otel.clew_occurrences FINAL
PREWHERE Transaction = {transaction:String}
    AND Timestamp >= {since:DateTime64(9)} - toIntervalDay(1) AND Timestamp < {until:DateTime64(9)} + toIntervalHour(1)
WHERE EntryTraceId IN {trace_ids:Array(String)}
ORDER BY Timestamp, Key
