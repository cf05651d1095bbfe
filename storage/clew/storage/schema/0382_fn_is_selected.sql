-- Whether a rule selects a series. `selection`: JSON, the fields of a rule's select, and with them `kinds` of series and `defined`, the ids of
-- the definitions that it names.
CREATE OR REPLACE FUNCTION clew_is_selected AS (selection, kind, environment, service, name) ->
    has(JSONExtract(selection, 'kinds', 'Array(String)'), kind)
    AND clew_has_label(JSONExtractString(selection, 'environment'), environment)
    AND clew_has_label(JSONExtractString(selection, 'service'), service)
    AND clew_has_label(JSONExtractString(selection, 'operation'), if(kind IN ('operation', 'transaction'), name, ''))
    AND clew_has_label(JSONExtractString(selection, 'dependency'), if(kind = 'dependency', name, ''))
    AND if(kind = 'defined',
        has(JSONExtract(selection, 'defined', 'Array(String)'), name),
        clew_has_label(JSONExtractString(selection, 'transaction'), if(kind = 'transaction', concat(service, ': ', name), '')))
