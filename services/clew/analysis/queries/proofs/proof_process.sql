-- with process_slots
-- What the processes of a service used in the slots of five minutes of a window, the mean of its instances.
SELECT toUnixTimestamp(slot) AS at, instances, value
FROM process_slots
WHERE environment = {environment:String}
ORDER BY at
