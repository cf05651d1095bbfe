-- Until when the hours of the watched series are filled, and the oldest hour that has spans; 0 if there is none.
SELECT
    toUnixTimestamp(max(Hour)) AS until,
    assumeNotNull((SELECT toUnixTimestamp(min(Hour)) FROM otel.clew_operations_1h)) AS oldest
FROM otel.clew_watch_1h
