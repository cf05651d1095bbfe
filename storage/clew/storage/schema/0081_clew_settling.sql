-- What the settler is at: the traces with new spans, in chunks. In memory only: a pass that was cut short
-- finds them again. (As a statement's parameter, 12,500 ids took 85 ms, a quarter of what settling those
-- traces takes; and a server takes no parameter above 128 KiB.)
-- Chunk 0: nothing to be settled here, as one trace in OneIn is enough.
CREATE TABLE IF NOT EXISTS otel.clew_settling
(
    Pass UInt64,
    Chunk UInt32,
    TraceId String,
    Start DateTime64(9),
    End DateTime64(9),
    SpanCount UInt64,
    OneIn UInt16
)
ENGINE = Memory
