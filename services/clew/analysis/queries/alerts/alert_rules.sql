-- The rules in force, by origin.
SELECT
    toString(Origin) AS origin,
    max(Revision) AS revision,
    argMax(Document, Revision) AS document
FROM otel.clew_alert_rules
GROUP BY Origin
