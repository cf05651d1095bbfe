-- with diagnosed
-- Traces of A that show the suspects: those in which a suspect took longest, failed ones first.
SELECT suspect AS service, TraceId AS trace_id, Duration / 1e6 AS duration_ms, IsError AS is_error
FROM
(
    SELECT
        TraceId, Duration, IsError,
        arrayJoin({suspects:Array(String)}) AS suspect,
        arraySum((owner, self) -> if(owner = suspect, self, 0), services, selves)
            + arraySum((source, own) -> if(source = suspect, own, 0), sources, owns) AS time
    FROM diagnosed
    WHERE is_a AND has(services, suspect)
)
ORDER BY IsError DESC, time DESC, TraceId
LIMIT 3 BY suspect
