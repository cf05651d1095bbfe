-- with other_names_none
-- As counted_rooted, with all that is not of a whole hour from the root spans: 17 ms in place of 60 (2 million spans a
-- day), as long as these are not too many.
, counted AS
(
    SELECT ServiceName, SpanName, Count, Errors, Satisfied, Tolerating, DurationSum, Sketch, DurationMax
    FROM otel.clew_operations_1h
    WHERE IsRoot AND Hour >= {first_hour:DateTime} AND Hour < {last_hour:DateTime}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT
        ServiceName, SpanName, count(), countIf(IsError), countIf(clew_is_satisfied(Duration)),
        countIf(clew_is_tolerating(Duration)), sum(Duration),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(Duration), max(Duration)
    FROM otel.clew_roots
    WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND (Timestamp < {first_hour:DateTime} OR Timestamp >= {last_hour:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    GROUP BY ServiceName, SpanName
)
