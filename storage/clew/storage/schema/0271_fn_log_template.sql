-- What log records of one kind have in common, so that they can be counted: the place in the code, or without one the
-- first 80 characters of the body in which digits and ids are replaced by #.
CREATE OR REPLACE FUNCTION clew_log_template AS (attributes, body) ->
    firstNonDefault(clew_log_place(attributes), substringUTF8(clew_exception_message(substringUTF8(body, 1, 160)), 1, 80))
