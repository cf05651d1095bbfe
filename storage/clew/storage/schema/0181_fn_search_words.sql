-- The tokens that a text must contain to match these words; punctuation is none. ClickHouse 26.2 looks up 64
-- tokens at most: further ones are ignored.
CREATE OR REPLACE FUNCTION clew_search_words AS words ->
    arraySlice(arrayDistinct(tokens(replaceRegexpAll(clew_search_text(words), '\\p{P}', ' '), 'splitByNonAlpha')), 1, 64)
