-- Rows of clew_settler.
SELECT row.1, row.2, row.3, row.4, row.5
FROM
(
    SELECT arrayJoin({rows:Array(Tuple(String, String, DateTime64(3), DateTime64(3), UInt64))}) AS row
)
