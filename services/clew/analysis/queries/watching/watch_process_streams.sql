-- with process_slots
-- To which series of clew_watch_1h, and to which instance, the streams of a window belong.
SELECT
    Stream AS stream,
    cityHash64('process', toString(clew_environment(any(ResourceAttributes))), toString(ServiceName), toString(MetricName)) AS series,
    firstNonDefault(toString(any(Instance)), any(ResourceAttributes)['k8s.pod.name'], toString(any(Host))) AS instance
FROM process_points
WHERE NOT (startsWith(MetricName, 'db.client.connection') AND has(mapValues(Attributes), 'idle'))
GROUP BY ServiceName, MetricName, Stream
