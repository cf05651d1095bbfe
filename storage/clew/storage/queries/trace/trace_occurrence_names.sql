-- The keys, of those asked for, that have an occurrence, each with its transaction's name and the first 100 of its
-- traces, in the order of the definitions.
WITH (SELECT max(Revision) FROM otel.clew_definitions) AS newest
SELECT
    stored.Transaction AS id, stored.Key AS key, definitions.Name AS name,
    arraySlice(arraySort(groupUniqArrayArray(stored.TraceIds)), 1, 100) AS trace_ids
FROM
(
    SELECT Transaction, Key, argMax(TraceIds, Version) AS TraceIds
    FROM otel.clew_occurrences
    WHERE (Transaction, Key) IN {keys:Array(Tuple(String, String))}
    GROUP BY Transaction, Key, Timestamp
    HAVING argMax(IsDeleted, Version) = 0
) AS stored
LEFT JOIN (SELECT Id, Name, Position FROM otel.clew_definitions WHERE Revision = newest AND Id != '') AS definitions
    ON definitions.Id = stored.Transaction
GROUP BY id, key, name, definitions.Position
ORDER BY definitions.Position, id, key
