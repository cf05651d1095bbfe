-- What the first of some sources finds in a map of attributes, '' where none does: `sources` are pairs of
-- an attribute's name and an expression whose one group is what is taken, '' for all of the value.
CREATE OR REPLACE FUNCTION clew_taken AS (attributes, sources) -> arrayFirst(
    taken -> taken != '',
    arrayMap(
        source -> multiIf(
            source.2 = '', attributes[source.1],
            match(attributes[source.1], source.2), replaceRegexpOne(attributes[source.1], source.2, '\\1'),
            ''),
        sources))
