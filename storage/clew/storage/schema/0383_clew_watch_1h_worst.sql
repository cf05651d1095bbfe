-- Of what processes use: that of the instance which used most, the mean of slots of five minutes. 0 of hours that were filled before, and of all
-- other series.
ALTER TABLE otel.clew_watch_1h
    ADD COLUMN IF NOT EXISTS Worst Float64 DEFAULT 0 CODEC(ZSTD(1)) AFTER ValueSquares
