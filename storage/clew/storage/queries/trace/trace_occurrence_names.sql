-- Which of some transactions' keys have an occurrence, with the transactions' names, in the order of
-- their definitions.
WITH (SELECT max(Revision) FROM otel.clew_definitions) AS newest
SELECT found.Transaction AS id, found.Key AS key, definitions.Name AS name
FROM
(
    SELECT Transaction, Key
    FROM otel.clew_occurrences
    WHERE (Transaction, Key) IN {keys:Array(Tuple(String, String))}
    GROUP BY Transaction, Key, Timestamp
    HAVING argMax(IsDeleted, Version) = 0
) AS found
LEFT JOIN (SELECT Id, Name, Position FROM otel.clew_definitions WHERE Revision = newest AND Id != '') AS definitions
    ON definitions.Id = found.Transaction
GROUP BY id, key, name, definitions.Position
ORDER BY definitions.Position, id, key
