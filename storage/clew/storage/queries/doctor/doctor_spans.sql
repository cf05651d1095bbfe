-- How many spans there are in the window, for the share of traces that is looked at.
SELECT sum(operations.Count) AS spans
FROM otel.clew_operations_1m AS operations
WHERE Minute >= toStartOfMinute({start:DateTime64(9)}) AND Minute < {end:DateTime64(9)}
