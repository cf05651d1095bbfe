-- with other_names
-- The services that the settled traces went through which entered outside the whole hours of a window. Without FINAL:
-- of a trace that was settled again the earlier services are among the later ones.
SELECT
    ServiceName AS service,
    if(is_other, '(other)', SpanName) AS operation,
    arraySort(groupUniqArrayArray(arrayMap(service -> toString(service), settled.Services))) AS services
FROM otel.clew_settled AS settled
WHERE Rank < 2 AND NOT IsDeleted
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND (Timestamp < {first_hour:DateTime} OR Timestamp >= {last_hour:DateTime})
    AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service, operation
