-- The batches of a pass.
SELECT Batch AS batch
FROM otel.clew_candidates
WHERE Pass = {of_pass:UInt64} AND Batch > 0
GROUP BY batch
ORDER BY batch
