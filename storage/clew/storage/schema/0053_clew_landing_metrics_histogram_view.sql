CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_landing_metrics_histogram_view TO otel.otel_metrics_histogram AS
SELECT
    ResourceAttributes,
    ResourceSchemaUrl,
    ScopeName,
    ScopeVersion,
    ScopeAttributes,
    ScopeDroppedAttrCount,
    ScopeSchemaUrl,
    ResourceAttributes['service.name'] AS ServiceName,
    MetricName,
    MetricDescription,
    MetricUnit,
    Attributes,
    toDateTime(intDiv(point.start_time_unix_nano, 1000000000)) AS StartTimeUnix,
    toDateTime(intDiv(point.time_unix_nano, 1000000000)) AS TimeUnix,
    point.count AS Count,
    ifNull(point.sum, 0) AS Sum,
    point.bucket_counts AS BucketCounts,
    point.explicit_bounds AS ExplicitBounds,
    arrayMap(exemplar -> clew_attributes(exemplar.filtered_attributes), point.exemplars) AS `Exemplars.FilteredAttributes`,
    arrayMap(exemplar -> toDateTime(intDiv(exemplar.time_unix_nano, 1000000000)), point.exemplars) AS `Exemplars.TimeUnix`,
    arrayMap(exemplar -> if(exemplar.as_int != 0, toFloat64(exemplar.as_int), exemplar.as_double), point.exemplars) AS `Exemplars.Value`,
    arrayMap(exemplar -> if(exemplar.span_id = '', repeat('0', 16), lower(hex(exemplar.span_id))), point.exemplars) AS `Exemplars.SpanId`,
    arrayMap(exemplar -> if(exemplar.trace_id = '', repeat('0', 32), lower(hex(exemplar.trace_id))), point.exemplars) AS `Exemplars.TraceId`,
    point.flags AS Flags,
    ifNull(point.min, 0) AS Min,
    ifNull(point.max, 0) AS Max,
    temporality AS AggregationTemporality,
    segment AS Segment,
    cityHash64(metric_hash, Attributes) AS Stream,
    Stream AS Series,
    toUInt32(modulo(point.time_unix_nano, 1000000000)) AS TimeUnixNanos,
    toUInt32(modulo(point.start_time_unix_nano, 1000000000)) AS StartTimeUnixNanos,
    isNotNull(point.sum) AS HasSum,
    isNotNull(point.min) AS HasMin,
    isNotNull(point.max) AS HasMax
FROM
(
    SELECT segment, ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes,
           ScopeDroppedAttrCount, ScopeSchemaUrl, metric.name AS MetricName,
           metric.description AS MetricDescription, metric.unit AS MetricUnit, metric.histogram.aggregation_temporality AS temporality,
           cityHash64(
               cityHash64(cityHash64(mapSort(ResourceAttributes)), ScopeName, ScopeVersion, mapSort(ScopeAttributes)),
               'histogram', temporality, MetricName, MetricUnit) AS metric_hash,
           arrayJoin(metric.histogram.data_points) AS point,
           mapSort(clew_attributes(point.attributes)) AS Attributes
    FROM
    (
        SELECT segment, ResourceAttributes, ResourceSchemaUrl, scope_metrics.scope.name AS ScopeName,
               scope_metrics.scope.version AS ScopeVersion,
               clew_attributes(scope_metrics.scope.attributes) AS ScopeAttributes,
               scope_metrics.scope.dropped_attributes_count AS ScopeDroppedAttrCount,
               scope_metrics.schema_url AS ScopeSchemaUrl,
               arrayJoin(scope_metrics.metrics) AS metric
        FROM
        (
            SELECT segment, clew_attributes(resource.resource.attributes) AS ResourceAttributes,
                   resource.schema_url AS ResourceSchemaUrl,
                   arrayJoin(resource.scope_metrics) AS scope_metrics
            FROM (SELECT segment, arrayJoin(resource_metrics) AS resource FROM otel.clew_landing_metrics_histogram)
        )
    )
)
