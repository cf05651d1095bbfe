-- Apdex of automatic transactions: a duration up to 0.5 s satisfies.
CREATE OR REPLACE FUNCTION clew_is_satisfied AS (nanoseconds) -> nanoseconds <= 500000000
