-- What follows the tag and the length in an encoded text or bytes: the length takes one byte for each seven
-- of its bits.
CREATE OR REPLACE FUNCTION clew_content AS (v) ->
    substring(v, 3 + (length(v) > 129) + (length(v) > 16386) + (length(v) > 2097155))
