-- The history of an alert, the newest change first.
SELECT toFloat64(At) AS at, toString(State) AS state, Episode AS episode, Verdict AS verdict
FROM otel.clew_alert_changes FINAL
WHERE Alert = {alert:String}
ORDER BY At DESC, state
LIMIT {limit:UInt32}
