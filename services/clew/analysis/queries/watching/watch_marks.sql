-- The episodes of alerts that ended in a window or later, with the last thing that people said of them. `until`: 0 while one is open.
-- `changed`: since when the change is seen, as a text; empty if the rule does not say it.
SELECT
    Alert AS alert,
    Episode AS episode,
    toFloat64(minIf(At, State = 'firing')) AS since,
    if(argMax(State, At) = 'resolved', toFloat64(max(At)), 0.) AS until,
    argMin(JSONExtract(Verdict, 'labels', 'Map(String, String)'), At) AS labels,
    argMin(JSONExtractString(Verdict, 'facts', 'since'), At) AS changed,
    any(said.kind) AS feedback
FROM otel.clew_alert_changes AS changes FINAL
LEFT JOIN
(
    SELECT Alert AS id, Episode AS number, argMax(toString(Kind), At) AS kind
    FROM otel.clew_alert_notes FINAL
    WHERE Kind IN ('useful', 'noise', 'accepted')
    GROUP BY Alert, Episode
) AS said ON said.id = changes.Alert AND said.number = changes.Episode
GROUP BY Alert, Episode
HAVING since > 0 AND (until = 0 OR until >= toUnixTimestamp({start:DateTime})) AND since < toUnixTimestamp({end:DateTime})
ORDER BY since DESC
LIMIT {limit:UInt32}
