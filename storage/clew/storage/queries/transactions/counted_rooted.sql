-- with other_names_none
-- What the automatic transactions of a window are counted from: root spans, from the rollups for whole hours and minutes and
-- from the spans for the rest of the window. For a window in which every trace has its root, and while no service
-- has more than its 200 names: what counted_all has beside this takes 10 of 22 ms to plan.
-- It stands here again, because a common table expression for both takes 2 ms more. (tests/unit/test_rules_once.py compares them.)
, counted AS
(
    SELECT ServiceName, SpanName, Count, Errors, Satisfied, Tolerating, DurationSum, Sketch, DurationMax
    FROM otel.clew_operations_1h
    WHERE IsRoot AND Hour >= {first_hour:DateTime} AND Hour < {last_hour:DateTime}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT ServiceName, SpanName, Count, Errors, Satisfied, Tolerating, DurationSum, Sketch, DurationMax
    FROM otel.clew_operations_1m
    WHERE IsRoot AND Minute >= {first_minute:DateTime} AND Minute < {last_minute:DateTime}
        AND (Minute < {first_hour:DateTime} OR Minute >= {last_hour:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT
        ServiceName, SpanName, count(), countIf(IsError), countIf(clew_is_satisfied(Duration)),
        countIf(clew_is_tolerating(Duration)), sum(Duration),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(Duration), max(Duration)
    FROM otel.clew_roots
    WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND (Timestamp < {first_minute:DateTime} OR Timestamp >= {last_minute:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    GROUP BY ServiceName, SpanName
)
