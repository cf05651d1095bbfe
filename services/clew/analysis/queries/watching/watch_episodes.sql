-- The episodes of alerts that were not over before {start}: the labels of what they are about, when they began, and when
-- they ended; 0 for those that are open.
SELECT
    JSONExtract(any(Verdict), 'labels', 'Map(String, String)') AS labels,
    toFloat64(minIf(At, State = 'firing')) AS start,
    toFloat64(maxIf(At, State = 'resolved')) AS end
FROM otel.clew_alert_changes FINAL
WHERE At >= {start:DateTime}
GROUP BY Alert, Episode
HAVING start > 0
LIMIT {limit:UInt32}
