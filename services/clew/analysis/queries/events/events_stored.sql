-- How many events are stored.
SELECT count() AS events FROM otel.clew_events FINAL
