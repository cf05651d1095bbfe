-- The parts of these words that are written without spaces (Chinese, Japanese, …): their characters, each a
-- token, must follow one another. Words are separated by a line feed, because a space is part of the pattern.
CREATE OR REPLACE FUNCTION clew_search_runs AS words ->
    extractAll(clew_search_text(replaceAll(words, ' ', '\n')),
        '(?: [\\p{Han}\\p{Hiragana}\\p{Katakana}ー\\p{Bopomofo}\\p{Hangul}\\p{Thai}\\p{Lao}\\p{Khmer}\\p{Myanmar}] ){2,}')
