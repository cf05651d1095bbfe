-- A frame of a stack trace without its line number: what exceptions are grouped by.
CREATE OR REPLACE FUNCTION clew_exception_place AS frame ->
    replaceRegexpAll(frame, '^\\s+|, line [0-9]+|:(?:line )?[0-9]+| \\+0x[0-9a-f]+', '')
