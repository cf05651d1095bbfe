-- What an older database has in clew_operations_1m of the last three days, once, before the view follows it.
-- Minutes that are there already are left alone, so that a run that was cut short can be run again.
INSERT INTO otel.clew_watch_1m
    (Minute, Environment, ServiceName, SpanName, SpanKind, IsRoot, Count, Errors, DurationSum, DurationMax, Sketch,
     InsertedAt)
SELECT
    minutes.Minute,
    Environment,
    ServiceName,
    SpanName,
    SpanKind,
    IsRoot,
    sum(minutes.Count),
    sum(minutes.Errors),
    sum(minutes.DurationSum),
    max(minutes.DurationMax),
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(minutes.Sketch),
    max(minutes.InsertedAt)
FROM otel.clew_operations_1m AS minutes
WHERE minutes.InsertedAt >= now() - toIntervalDay(3)
    AND minutes.Minute NOT IN (SELECT Minute FROM otel.clew_watch_1m)
GROUP BY minutes.Minute, Environment, ServiceName, SpanName, SpanKind, IsRoot
