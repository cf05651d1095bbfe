-- The traces of which a row has no root span, and an entry in the window: a row for each part that is not merged yet, so
-- that another row of the trace may have its root. Flat, over three columns.
SELECT TraceId AS trace_id
FROM otel.clew_traces
WHERE Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)}
    AND EntryKey >= clew_rootless_key({start:DateTime64(9)}) AND EntryKey < clew_rootless_key({end:DateTime64(9)})
LIMIT {limit:UInt32}
