-- with watched_sums
-- Two sums of what series did in a window, and the one divided by the other. {part} and {total}: selections as of clew_is_selected, with a
-- `measure`: count, errors, value or value_lost.
SELECT
    sumIf([requests, failed, worth, lost][greatest(1, indexOf(['count', 'errors', 'value', 'value_lost'], JSONExtractString({part:String}, 'measure')))],
        clew_is_selected({part:String}, kind, environment, service, name)) AS part,
    sumIf([requests, failed, worth, lost][greatest(1, indexOf(['count', 'errors', 'value', 'value_lost'], JSONExtractString({total:String}, 'measure')))],
        clew_is_selected({total:String}, kind, environment, service, name)) AS total,
    if(total > 0, part / total, NULL) AS value
FROM watched_sums
