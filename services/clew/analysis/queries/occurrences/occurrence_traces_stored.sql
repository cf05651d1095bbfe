-- The rows of clew_occurrence_traces that these traces have, cancelled: what a definition that has changed
-- since no longer says of them. Those that it still says come again with a greater version.
SELECT
    Transaction, Key, TraceId, Start, End, Environment, [], [], [], [], [], [], false, 0, 0, [], [], '', NULL,
    [], [], [], [], [], {version:UInt64} AS Version, 1 AS IsDeleted
FROM otel.clew_occurrence_traces FINAL
WHERE Transaction IN {ids:Array(String)} AND TraceId IN (SELECT TraceId FROM otel.clew_candidates WHERE Pass = {of_pass:UInt64} AND Batch = 0)
    AND Start >= {start:DateTime64(9)} AND Start <= {end:DateTime64(9)}
