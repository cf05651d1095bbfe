-- The nanosecond at which a span ends; for one that ends beyond the last that there is (in 2262), or
-- before it starts, the one at which it starts. In integers, which wrap around: a DateTime64 throws
-- instead, and one such span would hold up all that comes after it.
CREATE OR REPLACE FUNCTION clew_end AS (t, nanoseconds) ->
    greatest(toUnixTimestamp64Nano(t), toUnixTimestamp64Nano(t) + toInt64(clew_duration(nanoseconds)))
