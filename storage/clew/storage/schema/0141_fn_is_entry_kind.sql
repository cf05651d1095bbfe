-- Whether a span is work that a service took on: a request that it serves, or a message that it processes.
CREATE OR REPLACE FUNCTION clew_is_entry_kind AS (span_kind) ->
    span_kind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER')
