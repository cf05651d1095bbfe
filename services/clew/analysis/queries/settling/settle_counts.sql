-- How many spans and log records were inserted between two times.
SELECT
    (SELECT count() FROM otel.otel_traces
        WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}) AS spans,
    (SELECT count() FROM otel.otel_logs
        WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}) AS logs
