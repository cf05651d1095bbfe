-- with diagnosed
-- The kinds of log records that came in far more or far fewer traces of A than B lets expect, of those that meet their
-- service, way by way as in diagnosis_ways. Traces are counted: records of one trace are not independent. Kinds that differ
-- in less than 2 % of the service's traces are left out: of thousands of rare ones some do by chance. `share`: all records of A
-- by those of B. `variance`: of what is expected, where each trace has the record or not; a record that always came has hardly any, and
-- traces near one another are alike (a correlation of 0.05). `tested`: how many kinds there were to differ.
,
met AS
(
    SELECT
        TraceId,
        is_a,
        service,
        cityHash64(arraySort(arrayFilter(
            (operation, owner, kind) -> owner = service AND clew_is_entry_kind(kind), operations, services, kinds))) AS way
    FROM
    (
        SELECT *, arrayJoin(arrayDistinct(services)) AS service FROM diagnosed
    )
),
written AS
(
    SELECT TraceId, service, groupArray((false, template, records)) AS kinds
    FROM
    (
        SELECT TraceId, ServiceName AS service, Template AS template, count() AS records
        FROM otel.otel_logs
        WHERE TraceId != ''
            AND ((toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
                    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + toIntervalMinute(1))
                OR (toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({baseline_start:DateTime64(9)})
                    AND Timestamp >= {baseline_start:DateTime64(9)} AND Timestamp < {baseline_end:DateTime64(9)} + toIntervalMinute(1)))
        GROUP BY TraceId, service, template
    )
    GROUP BY TraceId, service
),
by_way AS
(
    SELECT service, way, kind.1 AS is_total, kind.2 AS template,
        countIf(is_a) AS a, countIf(NOT is_a) AS b,
        sumIf(kind.3, is_a) AS a_records, sumIf(kind.3, NOT is_a) AS b_records,
        anyIf(TraceId, is_a) AS example
    FROM
    (
        -- The traces are on the right, which is kept in memory: they are sampled, records are not.
        SELECT met.service AS service, way, is_a, met.TraceId AS TraceId,
            arrayJoin(arrayPushBack(kinds, (true, 0, 0))) AS kind
        FROM written
        RIGHT JOIN met ON written.TraceId = met.TraceId AND written.service = met.service
    )
    GROUP BY service, way, is_total, template
),
totalled AS
(
    SELECT *,
        sumIf(a, is_total) OVER (PARTITION BY service, way) AS of_a,
        sumIf(b, is_total) OVER (PARTITION BY service, way) AS of_b,
        sumIf(a, is_total) OVER (PARTITION BY service) AS traces
    FROM by_way
),
compared AS
(
    SELECT
        service,
        template,
        any(traces) AS traces,
        sumIf(a, of_a > 0 AND of_b >= 5) AS came,
        sumIf(b / of_b * of_a, of_a > 0 AND of_b >= 5) AS expected,
        sumIf(
            of_a * (b + 0.5) / (of_b + 1) * (1 - (b + 0.5) / (of_b + 1)) * (1 + 0.05 * (of_a - 1) + of_a / of_b),
            of_a > 0 AND of_b >= 5) AS variance,
        count() OVER () AS tested,
        sum(sum(a_records)) OVER () / sum(sum(b_records)) OVER () AS share,
        max(example) AS example
    FROM totalled
    WHERE NOT is_total
    GROUP BY service, template
),
named AS
(
    SELECT ServiceName AS service, Template AS template, any(Level) AS level, any(Place) AS place, min(Body) AS body
    FROM otel.clew_log_templates
    WHERE (Hour >= toStartOfHour({start:DateTime64(9)}) AND Hour < {end:DateTime64(9)})
        OR (Hour >= toStartOfHour({baseline_start:DateTime64(9)}) AND Hour < {baseline_end:DateTime64(9)})
    GROUP BY service, template
)
SELECT
    service, came, expected, variance, tested, share, example,
    clew_level_name(level) AS severity, place, body, toString(template) AS template
FROM compared
INNER JOIN named ON compared.service = named.service AND compared.template = named.template
WHERE abs(came - expected) >= 0.02 * traces
    AND ((came >= 3 AND expected < 0.1 * came) OR (expected >= 6 AND came < 0.3 * expected))
ORDER BY abs(came - expected) DESC, service, place, body
LIMIT 500
