-- The settled traces of the two sets of a diagnosis: A, those that start in [start, end), and B, the other ones that start
-- in [baseline_start, baseline_end). Of each one in so many (a_one_in, b_one_in), by the hash of the id.
--
-- Traces of one automatic transaction (entry_service, entry_names, entry_named), of the occurrences of one that is
-- defined (transaction), and that meet a service and an operation of it; each if it is given.
WITH
diagnosed AS
(
    SELECT
        TraceId, OneIn, Timestamp, Duration, IsError,
        Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AS is_a,
        ServiceName AS entered_at, Path.Service AS services, Path.Operation AS operations, Path.Kind AS kinds,
        Path.Calls AS calls, Path.Self AS selves, Path.Link AS links,
        Call.Source AS sources, Call.Target AS targets, Call.Type AS types,
        Call.Summary AS summaries, Call.IsError AS failures, Call.Own AS owns, Call.Duration AS durations
    FROM otel.clew_settled FINAL
    WHERE (
            (is_a AND modulo(cityHash64(TraceId), {a_one_in:UInt32}) = 0)
            OR (Timestamp >= {baseline_start:DateTime64(9)} AND Timestamp < {baseline_end:DateTime64(9)}
                AND NOT is_a AND modulo(cityHash64(TraceId), {b_one_in:UInt32}) = 0))
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
        AND ({entry_service:Nullable(String)} IS NULL OR (
            Rank < 2 AND ServiceName = {entry_service:Nullable(String)}
            AND (SpanName IN {entry_names:Array(String)}) = {entry_named:Bool}))
        AND ({service:Nullable(String)} IS NULL OR has(Path.Service, {service:Nullable(String)}))
        AND ({operation:Nullable(String)} IS NULL OR arrayExists(
            (operation, service) -> operation = {operation:Nullable(String)}
                AND ({service:Nullable(String)} IS NULL OR service = {service:Nullable(String)}),
            Path.Operation, Path.Service))
        AND ({transaction:Nullable(String)} IS NULL OR TraceId IN (
            SELECT arrayJoin(TraceIds) FROM otel.clew_occurrences FINAL
            WHERE Transaction = {transaction:Nullable(String)}
                AND Timestamp >= least({start:DateTime64(9)}, {baseline_start:DateTime64(9)}) - toIntervalHour(1)
                AND Timestamp < greatest({end:DateTime64(9)}, {baseline_end:DateTime64(9)}) + toIntervalHour(1)))
)
