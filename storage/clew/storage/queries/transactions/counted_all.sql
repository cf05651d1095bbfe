-- with other_names_some
-- As counted_rooted, and traces whose root never came. Such a trace counts once its last span ended more than 10 s ago,
-- since a root ends last and is received last. A trace whose rows are not merged yet may lack its root in one of them: its
-- keys are compared over all rows before an entry is read. is_other: whether a name is beyond its service's first 200.
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
    UNION ALL
    SELECT
        toLowCardinality(Known.ServiceName), toLowCardinality(Known.SpanName), count(), sum(Known.IsError),
        countIf(clew_is_satisfied(Known.Duration)),
        countIf(clew_is_tolerating(Known.Duration)),
        sum(Known.Duration),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(Known.Duration),
        max(Known.Duration)
    FROM
    (
        SELECT argMinMerge(Entry) AS Known
        FROM otel.clew_traces
        WHERE TraceId IN (
            SELECT TraceId FROM otel.clew_traces
            WHERE TraceId IN (
                SELECT TraceId FROM otel.clew_traces
                WHERE clew_is_rootless(EntryKey) AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
            GROUP BY TraceId
            HAVING min(EntryKey) >= clew_rootless_key({start:DateTime64(9)})
                AND min(EntryKey) < clew_rootless_key({end:DateTime64(9)})
                AND clew_root_is_overdue(max(End)))
        GROUP BY TraceId
    )
    WHERE {environment:Nullable(String)} IS NULL OR Known.Environment = {environment:Nullable(String)}
    GROUP BY Known.ServiceName, Known.SpanName
)
