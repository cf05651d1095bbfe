-- The traces of which a row has no root span, and an entry in the window: a row for each part that is not merged yet, so
-- that another row of the trace may have its root. Flat, and of most granules EntryKey alone is read: 8 ms in place of
-- 13 with a WHERE (2 million spans). indexHint: later partitions are left out, and Start is not read. Of what was
-- inserted before {inserted_since} all is known: parts that are older are not read at all.
SELECT TraceId AS trace_id
FROM otel.clew_traces
PREWHERE EntryKey >= clew_rootless_key({start:DateTime64(9)}) AND EntryKey < clew_rootless_key({end:DateTime64(9)})
    AND InsertedAt >= {inserted_since:DateTime}
    AND indexHint(Start < {end:DateTime64(9)})
LIMIT {limit:UInt32}
