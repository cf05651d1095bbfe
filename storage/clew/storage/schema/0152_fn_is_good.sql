-- Whether an occurrence meets its service level objective. `latency`: nanoseconds, inf without a limit.
CREATE OR REPLACE FUNCTION clew_is_good AS (is_error, nanoseconds, latency) -> NOT is_error AND nanoseconds <= latency
