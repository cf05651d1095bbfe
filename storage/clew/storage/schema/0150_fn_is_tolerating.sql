-- Apdex of automatic transactions: a duration above 0.5 s and up to four times that is tolerated.
CREATE OR REPLACE FUNCTION clew_is_tolerating AS (nanoseconds) -> nanoseconds > 500000000 AND nanoseconds <= 2000000000
