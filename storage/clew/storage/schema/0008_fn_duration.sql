-- A span that ends before it starts is stored as sent, a difference that wrapped below zero, and counts as 0.
CREATE OR REPLACE FUNCTION clew_duration AS (nanoseconds) ->
    if(nanoseconds >= 9223372036854775808, 0, nanoseconds)
