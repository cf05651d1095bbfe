-- A time as RFC 3339 with nanoseconds (every session runs in UTC).
CREATE OR REPLACE FUNCTION clew_time AS (t) -> concat(replaceOne(toString(toDateTime64(t, 9)), ' ', 'T'), 'Z')
