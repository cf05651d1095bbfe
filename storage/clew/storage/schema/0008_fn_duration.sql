-- The duration of a span in nanoseconds. Some writers store a span that ends before it starts with a difference
-- that wrapped below zero: it counts as 0.
CREATE OR REPLACE FUNCTION clew_duration AS (nanoseconds) ->
    if(nanoseconds >= 9223372036854775808, 0, nanoseconds)
