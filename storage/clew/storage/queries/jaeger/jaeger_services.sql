-- The names of all services.
SELECT DISTINCT if(ServiceName = '', 'unknown_service', toString(ServiceName)) AS service
FROM otel.clew_operations
ORDER BY service
LIMIT {limit:UInt32}
