-- with other_names
-- The services that the traces of automatic transactions went through, by the hours of their entries: within the whole
-- hours of a window, and in all hours that it touches.
SELECT
    ServiceName AS service,
    if(is_other, '(other)', SpanName) AS operation,
    arraySort(groupUniqArrayArrayIf(through.Services, Hour >= {first_hour:DateTime} AND Hour < {last_hour:DateTime})) AS within,
    arraySort(groupUniqArrayArray(through.Services)) AS touched
FROM otel.clew_entry_services AS through
WHERE Hour >= toStartOfHour(toDateTime({start:DateTime64(9)})) AND Hour < {end:DateTime64(9)}
    AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service, operation
