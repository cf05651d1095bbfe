-- The traces of a chunk.
SELECT TraceId AS trace_id
FROM otel.clew_settling
WHERE Pass = {of_pass:UInt64} AND Chunk = {chunk:UInt32}
    AND modulo(cityHash64(TraceId), {parts:UInt64}) = {part:UInt64}
ORDER BY TraceId
