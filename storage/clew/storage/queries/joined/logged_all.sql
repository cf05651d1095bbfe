-- with entries
-- The traces whose log records are looked for in the whole window.
, logged AS
(
    SELECT TraceId FROM entries
)
