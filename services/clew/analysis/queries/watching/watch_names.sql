-- The series that had requests in a window.
SELECT DISTINCT
    Series AS series,
    toString(Kind) AS kind,
    toString(Environment) AS environment,
    toString(ServiceName) AS service,
    toString(Name) AS name
FROM otel.clew_watch_1h
WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
    AND ({service:String} = '' OR ServiceName = {service:String})
ORDER BY kind, environment, service, name
LIMIT {limit:UInt32}
