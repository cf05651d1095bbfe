-- From when to when the spans of a window's occurrences of a defined transaction reach.
SELECT clew_time(min(Start)) AS start, clew_time(max(End)) AS end, count() AS occurrences
FROM otel.clew_occurrences FINAL
PREWHERE Transaction = {defined:String}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
