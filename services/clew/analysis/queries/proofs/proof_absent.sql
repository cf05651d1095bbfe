-- with watched_sums
-- The requests in a window of what a rule names and none was ever seen of, and the window's seconds. {selection}: as of clew_is_selected.
SELECT sum(watched_sums.requests) AS requests, toUnixTimestamp({end:DateTime}) - toUnixTimestamp({start:DateTime}) AS absent
FROM watched_sums
WHERE clew_is_selected({selection:String}, kind, environment, service, name)
