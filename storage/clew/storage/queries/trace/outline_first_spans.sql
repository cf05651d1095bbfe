-- with outline_rows
-- Of the first spans of a trace that has too many.
ORDER BY Timestamp, SpanId
LIMIT {limit:UInt32}
