-- with diagnosed
-- What services did per call of them, in A and as B lets expect. A service is called in different ways (`way`: the operations
-- by which it was entered in a trace), and each way is compared with itself, so that another mix of requests is no change.
--
-- Of an operation that ran more or less often: came, expected and its variance; baseline_share: of the traces of B with the
-- service, those in which it ran; more: the nanoseconds that its runs beyond the expected ones took by themselves. Operations by which a
-- service is called are its callers' doing, and left out.
-- Of a way (is_total), if 5 traces of A have it: calls of other services that came and were expected; more: for how many nanoseconds longer the service waited for
-- them than they took longer, so because there were more of them, or one after the other; more_variance.
-- time, usual: the nanoseconds that the operation ran by itself, or that the service waited for others, per call of the service. entry: the first operation of
-- the way, or of the way in which the operation ran most.
,
'Tuple(operation String, is_entry Bool, calls Float64, self Float64)' AS operation_type,
'Tuple(waited Float64, inner Float64, outward Float64)' AS waits_type,
met AS
(
    SELECT
        is_a,
        service,
        CAST(
            arrayFilter(
                (operation, owner) -> owner = service,
                arrayZip(operations, arrayMap(kind -> clew_is_entry_kind(kind), kinds), calls, selves), services),
            concat('Array(', operation_type, ')')) AS parts,
        arraySort(arrayFilter(part -> part.is_entry, parts).operation) AS entries,
        cityHash64(entries) AS way,
        greatest(1., arraySum(part -> part.is_entry ? toFloat64(part.calls) : 0., parts)) AS entered,
        arrayMap((duration, own) -> toFloat64(duration) - least(duration, own), durations, owns) AS inners,
        (entered_at = service ? toFloat64(Duration) : 0.)
            + arraySum((target, type, inner) -> target = service AND type = 'service' ? inner : 0., targets, types, inners)
            AS lasted,
        CAST(
            (
                greatest(0., lasted - arraySum(part -> part.self, parts)),
                arraySum((source, type, inner) -> source = service AND type = 'service' ? inner : 0., sources, types, inners),
                toFloat64(arrayCount((source, type) -> source = service AND type = 'service', sources, types))
            ),
            waits_type) AS waits
    FROM
    (
        SELECT *, arrayJoin(arrayDistinct(services)) AS service FROM diagnosed
    )
),
by_way AS
(
    SELECT
        service, way, part.operation AS operation, part.is_entry AS is_total, any(entries)[1] AS entry,
        sumIf(part.calls, is_a) AS a, sumIf(part.calls, NOT is_a) AS b,
        sumIf(part.self, is_a) AS a_self, sumIf(part.self, NOT is_a) AS b_self,
        countIf(is_a) AS a_traces, countIf(NOT is_a) AS b_traces,
        sumIf(waits.waited, is_a) AS a_waited, sumIf(waits.waited, NOT is_a) AS b_waited,
        sumIf(waits.inner, is_a) AS a_inner, sumIf(waits.inner, NOT is_a) AS b_inner,
        sumIf(waits.outward, is_a) AS a_outward, sumIf(waits.outward, NOT is_a) AS b_outward,
        varPopIf(waits.waited / part.calls, is_a) AS a_spread, varPopIf(waits.waited / part.calls, NOT is_a) AS b_spread
    FROM
    (
        SELECT is_a, service, way, entries, waits,
            arrayJoin(arrayPushBack(
                arrayFilter(part -> NOT part.is_entry, parts), CAST(('', true, entered, 0.), operation_type))) AS part
        FROM met
    )
    GROUP BY service, way, operation, is_total
),
totalled AS
(
    SELECT *,
        sumIf(a, is_total) OVER (PARTITION BY service, way) AS of_a,
        sumIf(b, is_total) OVER (PARTITION BY service, way) AS of_b,
        sumIf(b_traces, is_total) OVER (PARTITION BY service, way) AS of_b_traces,
        -- How much longer a call of another service took: that is no doing of the service's.
        greatest(0., a_inner / greatest(1., a_outward) - b_inner / greatest(1., b_outward)) AS slower,
        a_waited - a * (b_waited + b_outward * slower) / b AS waited_more
    FROM by_way
)
SELECT
    service,
    operation,
    is_total,
    argMax(entry, a) AS entry,
    sum(is_total ? a_outward : a) AS came,
    sum((is_total ? b_outward : b) / of_b * of_a) AS expected,
    sum((is_total ? b_outward : b) / of_b * of_a * of_a / of_b) AS variance,
    sum(of_a) AS calls,
    sum(of_b) AS baseline_calls,
    sum(b_traces) / sum(of_b_traces) AS baseline_share,
    sum(is_total ? waited_more : (a - b / of_b * of_a) * (b > 0 ? b_self / b : a_self / greatest(1., a))) AS more,
    sumIf(of_a * of_a * greatest(a_spread, b_spread) * (1 / a_traces + 1 / b_traces), is_total) AS more_variance,
    sum(is_total ? a_waited : a_self) / sum(of_a) AS time,
    sum(is_total ? b_waited : b_self) / sum(of_b) AS usual
FROM totalled
WHERE of_a > 0 AND of_b >= 5 AND a + b > 0
GROUP BY service, operation, is_total, is_total ? way : 0
HAVING is_total ? max(a_traces) >= 5 : abs(came - expected) > 0.4 * greatest(came, expected, 1.)
ORDER BY abs(came - expected) DESC, service, operation, entry
LIMIT 500
