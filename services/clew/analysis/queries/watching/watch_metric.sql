-- with metric_slots
-- A metric in slots of a window, by stream.
SELECT service, environment, attributes, at, number
FROM metric_slots
ORDER BY service, environment, attributes, at
LIMIT {limit:UInt32}
