-- with other_names
-- The services that the traces of automatic transactions went through: whole hours from the rollup, what
-- the window cuts of an hour from the settled traces. Without FINAL: of a trace that was settled again
-- the earlier services are among the later ones.
SELECT
    ServiceName AS service,
    if(is_other, '(other)', SpanName) AS operation,
    arraySort(groupUniqArrayArray(through.Services)) AS services
FROM
(
    SELECT ServiceName, SpanName, Services
    FROM otel.clew_entry_services
    WHERE Hour >= {first_hour:DateTime} AND Hour < {last_hour:DateTime}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT ServiceName, SpanName, arrayMap(service -> toString(service), Services) AS Services
    FROM otel.clew_settled
    WHERE Rank < 2 AND NOT IsDeleted
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND (Timestamp < {first_hour:DateTime} OR Timestamp >= {last_hour:DateTime})
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
) AS through
GROUP BY service, operation
