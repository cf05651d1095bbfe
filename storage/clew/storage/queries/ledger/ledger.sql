-- What became of the items received in the window, by the minute. `without`: the segments of which
-- the caller knows better, because they are not all in the ledger yet.
SELECT
    Signal AS signal,
    ServiceName AS service,
    Fate AS fate,
    toUnixTimestamp(toStartOfMinute(toDateTime(ReceivedAt))) AS minute,
    sum(Items) AS items,
    sum(ledger.Late) AS late
FROM otel.clew_ledger AS ledger FINAL
WHERE ReceivedAt >= {start:DateTime64(9)} AND ReceivedAt < {end:DateTime64(9)}
    AND Segment NOT IN {without:Array(UInt64)}
GROUP BY signal, service, fate, minute
ORDER BY minute, signal, fate, service
