-- What happened in a window, newest first: what was posted; the log records that are deployments; the changes of feature
-- flags; and the versions of services that were first seen, after another version, unless they were posted.
--
-- A flag changes when a variant (of a version of its rules) comes that was absent before, in so many evaluations that,
-- at its share in the ten minutes from then on, its absence had a probability below 1e-6. So a variant that is rare or a
-- flag that is seldom evaluated makes no event by chance, and a variant that came back does. Of the day before
-- the window, evaluations are looked back at.
WITH
    posted AS
    (
        SELECT
            Id AS id,
            Time AS at,
            End AS until,
            toString(Type) AS type,
            Name AS name,
            toString(ServiceName) AS service,
            ServiceVersion AS version,
            toString(Environment) AS environment,
            CAST(Attributes AS Map(String, String)) AS attributes,
            'posted' AS source,
            toString(Author) AS author
        FROM otel.clew_events FINAL
        WHERE Time < {end:DateTime64(9)} AND greatest(Time, End) >= {start:DateTime64(9)}
    ),
    versions AS
    (
        SELECT
            toString(ServiceName) AS service,
            toString(ServiceVersion) AS version,
            toString(Environment) AS environment,
            min(operations.FirstSeen) AS at,
            min(at) OVER (PARTITION BY service, environment) AS service_at
        FROM otel.clew_operations AS operations
        WHERE ServiceVersion != ''
        GROUP BY service, version, environment
    ),
    minutes AS
    (
        SELECT
            toString(Type) AS type,
            toString(Environment) AS environment,
            toString(ServiceName) AS service,
            Name AS name,
            Variant AS variant,
            ServiceVersion AS version,
            toUnixTimestamp(Minute) AS minute,
            sum(rows.Count) AS evaluations,
            min(rows.FirstSeen) AS at
        FROM otel.clew_log_events AS rows
        WHERE Minute >= toDateTime({start:DateTime64(9)}) - toIntervalDay(1) AND Minute < {end:DateTime64(9)}
        GROUP BY type, environment, service, name, variant, version, minute
    ),
    variants AS
    (
        SELECT
            *,
            lagInFrame(so_far) OVER one_before AS so_far_then,
            sum(evaluations) OVER (one RANGE BETWEEN CURRENT ROW AND 600 FOLLOWING) AS hits,
            sum(evaluations) OVER (flag RANGE BETWEEN CURRENT ROW AND 600 FOLLOWING) AS of_all
        FROM
        (
            SELECT
                *,
                sum(evaluations) OVER (flag RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS so_far,
                sum(evaluations) OVER (flag RANGE BETWEEN CURRENT ROW AND CURRENT ROW) AS in_minute
            FROM minutes
            WHERE type = 'feature_flag'
            WINDOW flag AS (PARTITION BY environment, service, name ORDER BY minute)
        )
        WINDOW
            flag AS (PARTITION BY environment, service, name ORDER BY minute),
            one AS (PARTITION BY environment, service, name, variant, version ORDER BY minute),
            one_before AS (one ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    ),
    noted AS
    (
        SELECT *, map('deployment.status', variant) AS attributes
        FROM minutes
        WHERE type = 'deployment'
        UNION ALL
        SELECT
            type, environment, service, name, variant, version, minute, evaluations, at,
            map('feature_flag.result.variant', variant, 'feature_flag.version', version,
                'share', toString(round(hits / of_all, 3)))
        FROM variants
        WHERE (so_far - in_minute - so_far_then) * log(1 - hits / (of_all + 1)) < -13.8
    ),
    together AS
    (
        SELECT * FROM posted
        UNION ALL
        SELECT
            lower(hex(sipHash64('version', service, version, environment))),
            at,
            toDateTime64(0, 9),
            'deployment',
            concat(service, ' ', version),
            service,
            version,
            environment,
            map(),
            'version',
            ''
        FROM versions
        WHERE at > service_at
            AND (service, version) NOT IN (
                SELECT ServiceName, ServiceVersion FROM otel.clew_events FINAL WHERE Type = 'deployment')
        UNION ALL
        SELECT
            lower(hex(sipHash64(type, environment, service, name, variant, version, minute))),
            at,
            toDateTime64(0, 9),
            type,
            if(type = 'feature_flag' AND variant != '', concat(name, ': ', variant), name),
            service,
            version,
            environment,
            mapFilter((_, value) -> value != '', attributes),
            'log',
            ''
        FROM noted
    )
SELECT
    id,
    clew_time(together.at) AS time,
    if(until = 0, NULL, clew_time(until)) AS end,
    type,
    name,
    service,
    version,
    environment,
    attributes,
    source,
    author
FROM together
WHERE at < {end:DateTime64(9)} AND greatest(at, until) >= {start:DateTime64(9)}
    AND (empty({types:Array(String)}) OR type IN {types:Array(String)})
    AND (empty({services:Array(String)}) OR service IN {services:Array(String)} OR service = '')
    AND ({environment:Nullable(String)} IS NULL OR environment IN ({environment:Nullable(String)}, ''))
    AND ({after_time:Nullable(DateTime64(9))} IS NULL
        OR (at, id) < ({after_time:Nullable(DateTime64(9))}, {after_id:String}))
ORDER BY at DESC, id DESC
LIMIT {limit:UInt32}
