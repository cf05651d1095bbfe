-- The sum of squares of business values. With Value it says how large a typical loss is, sum(v²) / sum(v): by that the
-- watcher compares value lost with the past. 0 of hours that were filled before: twice the mean is taken then.
ALTER TABLE otel.clew_watch_1h
    ADD COLUMN IF NOT EXISTS ValueSquares Float64 DEFAULT 0 CODEC(ZSTD(1)) AFTER ValueLost
