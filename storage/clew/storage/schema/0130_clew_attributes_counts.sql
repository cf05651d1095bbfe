-- Counts of attributes by the interval that they were counted in (the second that it began with), of which
-- the largest stays: an interval that is counted again after a kill counts once. Count has the sums of the
-- rows that were written before there was this column.
ALTER TABLE otel.clew_attributes
    ADD COLUMN IF NOT EXISTS Counts SimpleAggregateFunction(maxMap, Map(UInt32, UInt64)) CODEC(ZSTD(1)) AFTER Count
