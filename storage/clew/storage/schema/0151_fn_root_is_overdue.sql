-- Whether a trace is known by another entry from now on, when its root has not come: its last span ended more than
-- 10 s ago. A root ends last and is received last.
CREATE OR REPLACE FUNCTION clew_root_is_overdue AS (trace_end) -> trace_end < now64(9) - toIntervalSecond(10)
