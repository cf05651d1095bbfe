-- Whether a text contains all of these words, in any order and case: clew_has_words(Body, 'declined order').
-- Reads the index idx_search_text of otel_logs; the words must be constant. Without words everything matches.
CREATE OR REPLACE FUNCTION clew_has_words AS (text, words) ->
    (empty(clew_search_words(words)) OR hasAllTokens(clew_search_text(text), clew_search_words(words)))
    AND (empty(clew_search_runs(words))
        OR arrayAll(run -> position(clew_search_text(text), run) > 0, clew_search_runs(words)))
