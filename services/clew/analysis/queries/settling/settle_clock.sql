-- The time, and when the oldest insert began that is under way: its rows have that time, and cannot be
-- seen yet.
SELECT
    toFloat64(now64(3)) AS now,
    now - assumeNotNull((SELECT max(elapsed) FROM system.processes WHERE query_kind IN ('Insert', 'AsyncInsertFlush'))) AS oldest
