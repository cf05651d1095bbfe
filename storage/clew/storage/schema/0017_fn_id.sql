-- An id in hex; one that is all zeros (no longer than 16 bytes), which some SDKs send as a root's
-- parent, is none, as the exporter has it.
CREATE OR REPLACE FUNCTION clew_id AS (id) -> if(id <= repeat('\0', 16), '', lower(hex(id)))
