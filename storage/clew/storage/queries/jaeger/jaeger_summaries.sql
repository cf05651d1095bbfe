-- with jaeger_spans
-- Some traces in a list of Jaeger's UI. The root is the first span without a parent; an orphan is a span whose parent
-- is not stored.
, spans AS
(
    SELECT
        TraceId,
        SpanId,
        ParentSpanId,
        if(ServiceName = '', 'unknown_service', toString(ServiceName)) AS service,
        toString(SpanName) AS operation,
        clew_is_error(StatusCode) AS is_error,
        toUnixTimestamp64Nano(Timestamp) AS start,
        toInt64(clew_end(Timestamp, Duration)) AS end
    FROM unique_spans
),
services AS
(
    SELECT
        TraceId,
        service,
        count() AS span_count,
        countIf(is_error) AS error_count,
        countIf(ParentSpanId != '' AND (TraceId, ParentSpanId) NOT IN (SELECT TraceId, SpanId FROM spans)) AS orphan_count,
        minIf((start, SpanId, service, operation), ParentSpanId = '') AS first_root,
        countIf(ParentSpanId = '') AS root_count,
        min(start) AS service_start,
        max(end) AS service_end
    FROM spans
    GROUP BY TraceId, service
)
SELECT
    TraceId AS traceId,
    minIf(first_root, root_count > 0) AS root,
    root.3 AS rootServiceName,
    root.4 AS rootOperationName,
    toString(min(service_start)) AS minStartTimeUnixNano,
    toString(max(service_end)) AS maxEndTimeUnixNano,
    sum(span_count) AS spanCount,
    sum(error_count) AS errorSpanCount,
    sum(orphan_count) AS orphanSpanCount,
    CAST(arraySort(groupArray((service, span_count, error_count))),
        'Array(Tuple(name String, spanCount UInt64, errorSpanCount UInt64))') AS services
FROM services
GROUP BY TraceId
