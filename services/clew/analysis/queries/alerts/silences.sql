-- The silences that have not ended at a time, and those that ended after it.
SELECT
    Id AS id,
    Match AS match,
    Author AS author,
    Reason AS reason,
    toFloat64(StartsAt) AS starts_at,
    toFloat64(EndsAt) AS ends_at,
    Version AS version
FROM otel.clew_silences FINAL
WHERE EndsAt >= toDateTime64({ended_after:Float64}, 3)
ORDER BY StartsAt, Id
LIMIT {limit:UInt32}
