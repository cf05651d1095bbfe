-- Whether a text contains the phrase as it is written, but for case, accents, and kinds of spaces, quotes and dashes.
CREATE OR REPLACE FUNCTION clew_has_phrase AS (text, phrase) ->
    position(clew_search_text(text), clew_search_text(phrase)) > 0
