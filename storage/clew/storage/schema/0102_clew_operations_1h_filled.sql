-- What an older database has in clew_operations_1m, once, before the view follows it. Hours that are there
-- already are left alone, so that a run that was cut short can be run again.
INSERT INTO otel.clew_operations_1h
    (Hour, Environment, ServiceName, SpanName, SpanKind, IsRoot, Count, Errors, Satisfied, Tolerating,
     DurationSum, DurationMax, Sketch, InsertedAt)
SELECT
    toStartOfHour(minutes.Minute) AS Hour,
    Environment,
    ServiceName,
    SpanName,
    SpanKind,
    IsRoot,
    sum(minutes.Count),
    sum(minutes.Errors),
    sum(minutes.Satisfied),
    sum(minutes.Tolerating),
    sum(minutes.DurationSum),
    max(minutes.DurationMax),
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(minutes.Sketch),
    max(minutes.InsertedAt)
FROM otel.clew_operations_1m AS minutes
WHERE toStartOfHour(minutes.Minute) NOT IN (SELECT Hour FROM otel.clew_operations_1h)
GROUP BY Hour, Environment, ServiceName, SpanName, SpanKind, IsRoot
