-- How good an entry of its trace a span is: 0 a root, 1 a span of an entry kind, 2 any other.
CREATE OR REPLACE FUNCTION clew_entry_rank AS (parent_span_id, span_kind) ->
    multiIf(parent_span_id = '', 0, clew_is_entry_kind(span_kind), 1, 2)
