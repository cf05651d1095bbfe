-- with entries
-- As logged_all, of a transaction with more traces than are kept in memory: those with a record of the {least} level or above.
, logged AS
(
    SELECT TraceId FROM entries
    WHERE TraceId IN (
        SELECT TraceId FROM otel.otel_logs
        PREWHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
            AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
            AND Level >= {least:UInt8} AND TraceId != '')
)
