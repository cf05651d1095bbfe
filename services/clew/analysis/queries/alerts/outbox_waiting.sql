-- The messages that wait to be sent, the oldest first.
SELECT
    Key AS key,
    Receiver AS receiver,
    toFloat64(CreatedAt) AS created_at,
    Notification AS notification,
    Attempts AS attempts,
    toFloat64(DueAt) AS due_at,
    Batch AS batch,
    Version AS version
FROM otel.clew_outbox FINAL
WHERE State = 'waiting'
ORDER BY CreatedAt, Key
LIMIT {limit:UInt32}
