-- How many spans and log records were inserted between two times.
SELECT
    assumeNotNull((SELECT count() FROM otel.otel_traces
        WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime})) AS spans,
    assumeNotNull((SELECT count() FROM otel.otel_logs
        WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime})) AS logs
