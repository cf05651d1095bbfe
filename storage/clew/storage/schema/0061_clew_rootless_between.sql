-- Traces whose root never came, by the time of the SERVER or CONSUMER span they are entered at.
-- A root ends last and comes last, so it is waited for: a trace counts as rootless once its last
-- span ended more than 10 s ago.
CREATE VIEW IF NOT EXISTS otel.clew_rootless_between AS
SELECT TraceId, min(traces.Entry) AS Entry
FROM otel.clew_traces AS traces
WHERE TraceId IN (
    SELECT TraceId FROM otel.clew_traces
    WHERE Entry.Rank > 0 AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
GROUP BY TraceId
HAVING Entry.Rank = 1
    AND Entry.Timestamp >= {start:DateTime64(9)} AND Entry.Timestamp < {end:DateTime64(9)}
    AND max(traces.End) < now64(9) - toIntervalSecond(10)
