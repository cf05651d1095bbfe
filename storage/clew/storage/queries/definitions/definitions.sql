-- The definitions in force: those of the greatest revision, and its row without one.
SELECT
    Revision AS revision,
    Origin AS origin,
    Id AS id,
    Definition AS definition
FROM otel.clew_definitions
WHERE Revision = (SELECT max(Revision) FROM otel.clew_definitions)
ORDER BY Position
