-- with process_slots
-- What the processes of a service used in the slots of five minutes of a window, the mean of its instances, and the
-- instance that used most.
SELECT toUnixTimestamp(slot) AS at, instances, value, worst, worst_instance
FROM process_slots
WHERE environment = {environment:String}
ORDER BY at
