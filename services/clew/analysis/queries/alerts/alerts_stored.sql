-- Every alert that there is.
SELECT Document AS document, Version AS version
FROM otel.clew_alerts FINAL
ORDER BY Alert
