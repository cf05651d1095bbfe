-- The failed calls to external hosts by host and class: the class of the status, '429' and '408' by themselves, 'none' where
-- no answer came. A call that a service here has answered is none: its span has children. tenants: how many tenants or users the sampled traces of a class name; 0 where none is named.
WITH candidates AS
(
    SELECT
        firstNonDefault(
            SpanAttributes['service.peer.name'], SpanAttributes['peer.service'], SpanAttributes['server.address'],
            SpanAttributes['net.peer.name'], SpanAttributes['http.host'], domain(SpanAttributes['url.full']),
            domain(SpanAttributes['http.url'])) AS host,
        toUInt16OrZero(firstNonDefault(
            SpanAttributes['http.response.status_code'], SpanAttributes['http.status_code'])) AS code,
        multiIf(code IN (408, 429), toString(code), code >= 400, concat(toString(intDiv(code, 100)), 'xx'), 'none') AS status_class,
        toString(ServiceName) AS caller,
        TraceId,
        SpanId
    FROM otel.otel_traces
    WHERE SpanKind = 'Client' AND clew_is_error(StatusCode)
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
        AND host IN {hosts:Array(String)}
),
failed AS
(
    SELECT host, status_class, caller, TraceId
    FROM candidates
    WHERE (TraceId, SpanId) NOT IN (
        SELECT TraceId, ParentSpanId
        FROM otel.otel_traces
        WHERE TraceId IN (SELECT TraceId FROM candidates) AND ParentSpanId != ''
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + toIntervalHour(1))
),
sampled AS
(
    SELECT arrayJoin(traces) AS id FROM (SELECT groupUniqArray(100)(TraceId) AS traces FROM failed GROUP BY host, status_class)
),
named AS
(
    SELECT
        TraceId,
        anyIf(tenant, tenant != '') AS tenant
    FROM
    (
        SELECT
            TraceId,
            firstNonDefault(
                SpanAttributes['tenant.id'], SpanAttributes['http.request.header.x-tenant'],
                SpanAttributes['http.request.header.x-tenant-id'], SpanAttributes['user.id'],
                SpanAttributes['enduser.id']) AS tenant
        FROM otel.otel_traces
        WHERE TraceId IN (SELECT id FROM sampled)
            AND Timestamp >= {start:DateTime64(9)} - toIntervalHour(1) AND Timestamp < {end:DateTime64(9)}
    )
    GROUP BY TraceId
)
SELECT
    host,
    status_class,
    count() AS errors,
    uniqExact(caller) AS callers,
    uniqExactIf(named.tenant, named.tenant != '') AS tenants,
    any(failed.TraceId) AS example
FROM failed
LEFT JOIN named ON named.TraceId = failed.TraceId
GROUP BY host, status_class
ORDER BY host, errors DESC, status_class
LIMIT {limit:UInt32}
