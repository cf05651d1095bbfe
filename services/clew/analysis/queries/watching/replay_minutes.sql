-- with replay_rows
-- What some series did in each minute of a window, as columns by series: `minutes` from the start on.
SELECT
    series,
    groupArray(minute) AS minutes,
    groupArray(toFloat64(requests)) AS counts,
    groupArray(toFloat64(failed)) AS errors,
    groupArray(worth) AS values,
    groupArray(lost) AS values_lost
FROM
(
    SELECT
        id AS series,
        intDiv(toUnixTimestamp(Minute) - toUnixTimestamp({start:DateTime}), 60) AS minute,
        sum(Requests) AS requests,
        sum(Failed) AS failed,
        sum(Worth) AS worth,
        sum(Lost) AS lost
    FROM replay_rows
    GROUP BY id, minute
)
GROUP BY series
