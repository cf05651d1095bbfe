-- The message that an exception is grouped by: digits and ids are replaced by #.
CREATE OR REPLACE FUNCTION clew_exception_message AS text ->
    replaceRegexpAll(text, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\\b(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\\b|[0-9]+', '#')
