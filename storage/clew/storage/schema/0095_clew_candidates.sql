-- The traces that definitions are being applied to (storage.occurrences), in memory only. Batch 0: those that
-- are asked about. In batches from 1 on, of as many spans as a statement takes, those that some definitions
-- may have to do with, by their numbers.
CREATE TABLE IF NOT EXISTS otel.clew_candidates
(
    Pass UInt64,
    Batch UInt32,
    TraceId String,
    Definitions Array(UInt16)
)
ENGINE = Memory
