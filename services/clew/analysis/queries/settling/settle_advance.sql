-- Rows of clew_settler.
SELECT row.1 AS Name, row.2 AS Holder, row.3 AS Until, row.4 AS SettledUntil, row.5 AS Version
FROM
(
    SELECT arrayJoin({rows:Array(Tuple(String, String, DateTime64(3), DateTime64(3), UInt64))}) AS row
)
