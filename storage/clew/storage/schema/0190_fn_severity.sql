-- The text of a log record's severity: as it was sent, or the level's name as OpenTelemetry writes it.
CREATE OR REPLACE FUNCTION clew_severity AS (severity_text, level) ->
    if(severity_text != '', severity_text, upper(clew_level_name(level)))
