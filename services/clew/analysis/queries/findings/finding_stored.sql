-- The findings, and the last word on the state of each: an empty state where nobody, and no run, has said one.
SELECT
    Finding AS id,
    Document AS document,
    toUnixTimestamp(FirstSeen) AS first_seen,
    toUnixTimestamp(LastSeen) AS last_seen,
    states.State AS state,
    states.Reason AS reason,
    states.Author AS author,
    toFloat64(states.Since) AS state_since
FROM otel.clew_findings AS findings FINAL
LEFT JOIN
(
    SELECT
        Finding, argMax(State, changes.At) AS State, argMax(Reason, changes.At) AS Reason, argMax(Author, changes.At) AS Author,
        max(changes.At) AS Since
    FROM otel.clew_finding_states AS changes
    GROUP BY Finding
) AS states USING Finding
ORDER BY id
LIMIT {limit:UInt32}
