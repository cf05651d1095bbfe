-- The text of one value (clew_tagged_value).
CREATE OR REPLACE FUNCTION clew_value AS (v) -> clew_tagged_value(v, ascii(v), clew_content(v))
