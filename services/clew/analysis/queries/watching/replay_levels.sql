-- with replay_rows
-- The durations of some series in slots of `step` seconds of a window, as columns by series: `slots` from the start on, p50, p75
-- and p95 in nanoseconds, and how many requests were slower than `limits` (nanoseconds by hour of the week, one series behind
-- the other), interpolated between quantiles.
    , [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99] AS points
SELECT
    series,
    groupArray(slot) AS slots,
    groupArray([levels[10], levels[15], levels[19]]) AS quantiles,
    groupArray(requests * (1 - multiIf(place = 0, 1., place = 1, 0., points[place - 1] + (points[place] - points[place - 1])
        * (limit - levels[place - 1]) / greatest(levels[place] - levels[place - 1], 1e-9)))) AS slow
FROM
(
    SELECT
        id AS series,
        intDiv(toUnixTimestamp(Minute) - toUnixTimestamp({start:DateTime}), {step:UInt32}) AS slot,
        toDateTime(toUnixTimestamp({start:DateTime}) + slot * {step:UInt32}) AS begin,
        sum(Requests) AS requests,
        quantilesDDMerge(0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8,
            0.85, 0.9, 0.95, 0.98, 0.99)(States) AS levels,
        if(empty({limits:Array(Float64)}), inf, {limits:Array(Float64)}[
            (indexOf({series:Array(UInt64)}, series) - 1) * 168
            + (toDayOfWeek(begin, 0, {zone:String}) - 1) * 24 + toHour(begin, {zone:String}) + 1]) AS limit,
        arrayFirstIndex(level -> level >= limit, levels) AS place
    FROM replay_rows
    GROUP BY id, slot
)
GROUP BY series
