-- with metric_slots
-- The metric's values in slots of {step} seconds of a window, of one service and its attributes (JSON).
SELECT at, number AS value
FROM metric_slots
WHERE service = {service:String} AND environment = {environment:String}
    AND attributes = JSONExtract({attributes:String}, 'Map(String, String)') AND number IS NOT NULL
ORDER BY at
