-- A text as log search compares it. ASCII is put into lower case. Beyond ASCII, from the inside out: compatible
-- forms become one (full width, ligatures, no-break spaces); upper case, accents and invisible characters go; ς is
-- σ, ı is i, ß is ss; dashes and quotes are ASCII's; each character of a script that is written without spaces,
-- each symbol and each punctuation mark gets a space on both sides, so that it is a token of its own.
-- The tokenizer splitByNonAlpha then finds the words of every script. All of it exists in ClickHouse 26.2; the
-- tokenizers asciiCJK and unicodeWord are newer, and cut Cyrillic and Greek words into letters.
-- Symbols and punctuation are ranges here: as a class such as [^\p{L}\p{M}\p{N}] the expression takes 1 ms to compile.
-- The index idx_search_text contains a copy of this expression: a change here needs a new index.
CREATE OR REPLACE FUNCTION clew_search_text AS text ->
    if(length(text) = lengthUTF8(text), lower(text),
        replaceRegexpAll(
            translateUTF8(
                replaceAll(normalizeUTF8NFC(replaceRegexpAll(
                    lowerUTF8(normalizeUTF8NFKD(toValidUTF8(text))),
                    '[\\x{300}-\\x{36f}\\x{ad}\\x{200b}-\\x{200f}\\x{202a}-\\x{202e}\\x{2060}-\\x{206f}\\x{fe00}-\\x{fe0f}\\x{feff}]', '')),
                    'ß', 'ss'),
                'ςı‐‒–—―−‘’‚‛‹›′“”„‟«»″〝〞〟', 'σi------\'\'\'\'\'\'\'""""""""""'),
            '[\\p{Han}\\p{Hiragana}\\p{Katakana}ー\\p{Bopomofo}\\p{Hangul}\\p{Thai}\\p{Lao}\\p{Khmer}\\p{Myanmar}\\x{80}-\\x{bf}×÷\\x{55a}-\\x{55f}\\x{589}\\x{58a}\\x{5be}\\x{5c0}\\x{5c3}\\x{5f3}\\x{5f4}\\x{60c}\\x{61b}-\\x{61f}\\x{66a}-\\x{66d}\\x{6d4}\\x{964}\\x{965}\\x{1361}-\\x{1368}\\x{2000}-\\x{2bff}\\x{2e00}-\\x{2e7f}\\x{3000}-\\x{303f}\\x{e000}-\\x{f8ff}\\x{fe10}-\\x{fe6f}\\x{ff00}-\\x{ffff}\\x{1f000}-\\x{1faff}]',
            ' \\0 '))
