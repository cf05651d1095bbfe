-- What findings and comparisons need of a trace beside its times.
--
-- Path.Most: the most spans of the operation that one parent has; 0 in rows from before this column, which `clew
-- backfill` settles again.
-- Path.Link: the part of Path.Self in which calls waited for others: see Call.Own.
-- Call.Own: the nanoseconds of the call that its source waited and no span below it ran: network, queueing, and all
-- that a target without spans did. Of several calls under one span each has the same part.
ALTER TABLE otel.clew_settled
    ADD COLUMN IF NOT EXISTS `Path.Most` Array(UInt32) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `Path.Link` Array(UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `Call.Own` Array(UInt64) CODEC(ZSTD(1))
