-- with diagnosed
-- How often each operation of a service ran per call of the service, in A and as B lets expect. A service is called in
-- different ways (`way`: the operations by which it was entered in a trace), and each way is compared with itself, so that another
-- mix of requests is no change. baseline_share: of the traces of B with the service, those in which the operation ran. What is counted is what the service does: operations by which it is called are its callers' doing.
,
'Tuple(operation String, is_entry Bool, calls Float64)' AS operation_type,
met AS
(
    SELECT
        is_a,
        service,
        CAST(
            arrayFilter(
                (operation, owner) -> owner = service,
                arrayZip(operations, arrayMap(kind -> clew_is_entry_kind(kind), kinds), calls), services),
            concat('Array(', operation_type, ')')) AS parts,
        cityHash64(arraySort(arrayFilter(part -> part.is_entry, parts).operation)) AS way,
        greatest(1., arraySum(part -> part.is_entry ? toFloat64(part.calls) : 0., parts)) AS entered
    FROM
    (
        SELECT *, arrayJoin(arrayDistinct(services)) AS service FROM diagnosed
    )
),
by_way AS
(
    SELECT
        service, way, part.operation AS operation, part.is_entry AS is_total,
        sumIf(part.calls, is_a) AS a, sumIf(part.calls, NOT is_a) AS b, countIf(NOT is_a) AS b_traces
    FROM
    (
        SELECT is_a, service, way,
            arrayJoin(arrayPushBack(arrayFilter(part -> NOT part.is_entry, parts), CAST(('', true, entered), operation_type))) AS part
        FROM met
    )
    GROUP BY service, way, operation, is_total
),
totalled AS
(
    SELECT *,
        sumIf(a, is_total) OVER (PARTITION BY service, way) AS of_a,
        sumIf(b, is_total) OVER (PARTITION BY service, way) AS of_b,
        sumIf(b_traces, is_total) OVER (PARTITION BY service, way) AS of_b_traces
    FROM by_way
)
SELECT
    service,
    operation,
    sum(a) AS came,
    sum(b / of_b * of_a) AS expected,
    sum(b / of_b * of_a * of_a / of_b) AS variance,
    sum(of_a) AS calls,
    sum(of_b) AS baseline_calls,
    sum(b_traces) / sum(of_b_traces) AS baseline_share
FROM totalled
WHERE NOT is_total AND of_a > 0 AND of_b >= 5
GROUP BY service, operation
HAVING abs(came - expected) > 0.4 * greatest(came, expected, 1.)
ORDER BY abs(came - expected) DESC, service, operation
LIMIT 500
