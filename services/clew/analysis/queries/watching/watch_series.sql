-- The series that had requests in a window: defined transactions first, then those with the most value and requests.
SELECT Series AS series, count() OVER () AS total
FROM
(
    SELECT Series, any(Kind) AS kind, sum(watched.Value) AS value, sum(Count) AS requests
    FROM otel.clew_watch_1h AS watched FINAL
    WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
        AND Kind IN ('transaction', 'defined', 'operation', 'service', 'dependency')
    GROUP BY Series
)
ORDER BY kind = 'defined' DESC, value DESC, requests DESC, Series
LIMIT {limit:UInt32}
