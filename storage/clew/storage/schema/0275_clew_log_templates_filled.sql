-- What an older database has in otel_logs of the last three days, once, before the view follows it. Hours that are there
-- already are left as they are, so that a run that was cut short can be run again.
INSERT INTO otel.clew_log_templates
    (Hour, Environment, ServiceName, Template, Level, Place, Body, Count, InsertedAt)
SELECT
    toStartOfHour(clew_minute(Timestamp)) AS Hour,
    clew_environment(ResourceAttributes) AS Environment,
    ServiceName,
    Template,
    Level,
    clew_log_place(LogAttributes) AS Place,
    min(substringUTF8(otel_logs.Body, 1, 200)),
    count(),
    max(otel_logs.InsertedAt)
FROM otel.otel_logs
WHERE InsertedAt >= now() - toIntervalDay(3)
    AND toStartOfHour(clew_minute(Timestamp)) NOT IN (SELECT Hour FROM otel.clew_log_templates)
GROUP BY Hour, Environment, ServiceName, Template, Level, Place
