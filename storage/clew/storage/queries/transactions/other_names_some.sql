-- Whether a name is beyond its service's first 200.
WITH (ServiceName, SpanName) IN (SELECT ServiceName, SpanName FROM otel.clew_other_operations) AS is_other
