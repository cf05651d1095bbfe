CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_landing_metrics_summary_view TO otel.otel_metrics_summary AS
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
    point.sum AS Sum,
    point.quantile_values.quantile AS `ValueAtQuantiles.Quantile`,
    point.quantile_values.value AS `ValueAtQuantiles.Value`,
    point.flags AS Flags,
    segment AS Segment,
    cityHash64(metric_hash, Attributes) AS Stream,
    toUInt32(modulo(point.time_unix_nano, 1000000000)) AS TimeUnixNanos,
    toUInt32(modulo(point.start_time_unix_nano, 1000000000)) AS StartTimeUnixNanos
FROM
(
    SELECT segment, ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes,
           ScopeDroppedAttrCount, ScopeSchemaUrl, metric.name AS MetricName,
           metric.description AS MetricDescription, metric.unit AS MetricUnit,
           cityHash64(
               cityHash64(cityHash64(mapSort(ResourceAttributes)), ScopeName, ScopeVersion, mapSort(ScopeAttributes)),
               'summary', MetricName, MetricUnit) AS metric_hash,
           arrayJoin(metric.summary.data_points) AS point,
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
            FROM (SELECT segment, arrayJoin(resource_metrics) AS resource FROM otel.clew_landing_metrics_summary)
        )
    )
)
