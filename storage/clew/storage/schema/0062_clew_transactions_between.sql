-- Automatic transactions between two times, as states by the minute: every root span, and the
-- entry of every trace whose root never came.
CREATE VIEW IF NOT EXISTS otel.clew_transactions_between AS
SELECT Minute, Environment, ServiceName, SpanName,
       Count, Errors, Satisfied, Tolerating, DurationSum, DurationMax, Sketch
FROM otel.clew_operations_between(start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
WHERE IsRoot
UNION ALL
SELECT
    clew_minute(Timestamp) AS Minute,
    toLowCardinality(Entry.Environment) AS Environment,
    toLowCardinality(Entry.ServiceName) AS ServiceName,
    toLowCardinality(Entry.SpanName) AS SpanName,
    count() AS Count,
    sum(Entry.IsError) AS Errors,
    countIf(Entry.Duration <= 500000000) AS Satisfied,
    countIf(Entry.Duration > 500000000 AND Entry.Duration <= 2000000000) AS Tolerating,
    sum(Entry.Duration) AS DurationSum,
    max(Entry.Duration) AS DurationMax,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(Entry.Duration) AS Sketch
FROM otel.clew_rootless_between(start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
GROUP BY Minute, Environment, ServiceName, SpanName
