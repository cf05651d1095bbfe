-- Cancels the rows of clew_occurrence_traces that these traces have, since a definition may have changed after
-- they were stored. Rows that still hold are inserted again with a greater version.
SELECT
    Transaction, Key, TraceId, Start, End, Environment, [], [], [], [], [], [], false, 0, 0, [], [], '', NULL,
    [], [], [], [], [], {version:UInt64} AS Version, 1 AS IsDeleted
FROM otel.clew_occurrence_traces FINAL
WHERE Transaction IN {ids:Array(String)}
    AND TraceId IN (SELECT TraceId FROM otel.clew_candidates WHERE Pass = {of_pass:UInt64} AND Batch = 0)
    AND Start >= {start:DateTime64(9)} AND Start <= {end:DateTime64(9)}
