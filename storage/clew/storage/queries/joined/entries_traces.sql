-- The entries of traces that are named by their ids; no more is known of them here. Every form of entries
-- has these columns. Took is how long the transaction took in nanoseconds; Last says that the entry that
-- counts is in this trace (an occurrence may have several), Failed that this trace shows the occurrence's error.
-- Instance is a hash of the occurrence's key (a trace may belong to several occurrences).
WITH entries AS
(
    SELECT arrayJoin({trace_ids:Array(String)}) AS TraceId, {start:DateTime64(9)} AS Timestamp,
        toUInt64(0) AS Took, toUInt8(0) AS IsError, toUInt8(1) AS Last, toUInt8(1) AS Failed,
        toUInt64(0) AS Instance
)
