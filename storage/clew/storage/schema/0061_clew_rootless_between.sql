-- Traces whose root never came, by the time of the SERVER or CONSUMER span they are entered at.
-- A root ends last and comes last, so it is waited for: a trace counts as rootless once its last
-- span ended more than 10 s ago.
CREATE VIEW IF NOT EXISTS otel.clew_rootless_between AS
SELECT TraceId, ServiceName, Timestamp, Entry
FROM
(
    SELECT
        TraceId,
        min(traces.EntryKey) AS Key,
        argMinMerge(traces.Entry) AS Entry,
        Entry.ServiceName AS ServiceName,
        fromUnixTimestamp64Nano(toInt64(bitAnd(Key, 4611686018427387903))) AS Timestamp,
        max(traces.End) AS End
    FROM otel.clew_traces AS traces
    WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE EntryKey >= 4611686018427387904
            AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
    GROUP BY TraceId
)
WHERE bitShiftRight(Key, 62) = 1
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND End < now64(9) - toIntervalSecond(10)
