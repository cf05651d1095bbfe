-- Zipkin's client and server share one span id. Where a trace has both, the server's span is shown under this id, a
-- child of the client's: each hexadecimal digit is replaced with 15 minus its value.
CREATE OR REPLACE FUNCTION clew_server_span_id AS (span_id) ->
    translate(span_id, '0123456789abcdef', 'fedcba9876543210')
