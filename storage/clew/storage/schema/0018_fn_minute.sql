-- The minute of a time; before 1970 the first that a DateTime has, after 2106 the last. (From a
-- DateTime64 it wraps around instead: a span of 2162 would count as one of these days.)
CREATE OR REPLACE FUNCTION clew_minute AS (t) -> toStartOfMinute(toDateTime(toInt64(t)))
