-- What people said of alerts: of all of them if {alert} is empty.
SELECT
    Alert AS alert,
    Episode AS episode,
    toString(Kind) AS kind,
    Author AS author,
    Text AS text,
    toFloat64(At) AS at
FROM otel.clew_alert_notes FINAL
WHERE {alert:String} = '' OR Alert = {alert:String}
ORDER BY At DESC, alert, episode, kind
LIMIT {limit:UInt32}
