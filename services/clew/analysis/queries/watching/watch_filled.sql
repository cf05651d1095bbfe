-- Until when the hours of the watched series are filled.
SELECT toUnixTimestamp(max(Hour)) AS until FROM otel.clew_watch_1h
