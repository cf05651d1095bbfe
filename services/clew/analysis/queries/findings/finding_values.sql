-- What the occurrences of defined transactions were worth in a stretch of time, by the entry of the trace that has them.
SELECT
    Transaction AS transaction,
    EntryService AS service,
    EntryOperation AS operation,
    count() AS occurrences,
    sum(ifNull(Value, 0)) AS value
FROM otel.clew_occurrences FINAL
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
GROUP BY transaction, service, operation
ORDER BY transaction, service, operation
LIMIT 10000
