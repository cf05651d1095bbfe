-- Whether a label is one that a rule selects, as clew.analysis.alerts.rules has it: '' selects everything, * stands for any characters.
CREATE OR REPLACE FUNCTION clew_has_label AS (pattern, label) ->
    pattern = '' OR pattern = label
    OR (label != '' AND position(pattern, '*') > 0
        AND match(label, concat('(?s)^', replaceAll(regexpQuoteMeta(pattern), '\\*', '.*'), '$')))
