-- Whether a span failed, by its StatusCode: today's spelling, and that of older exporters.
CREATE OR REPLACE FUNCTION clew_is_error AS (status_code) -> status_code IN ('Error', 'STATUS_CODE_ERROR')
