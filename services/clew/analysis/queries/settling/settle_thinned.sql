-- Whether of late only a part of the traces was settled: one in how many at the most, since when, and
-- until when they began.
SELECT
    max(OneIn) AS thinned,
    toFloat64(min(settled.InsertedAt)) AS since,
    toFloat64(max(settled.Timestamp)) AS until
FROM otel.clew_settled AS settled
WHERE OneIn > 1 AND InsertedAt >= {since:DateTime}
