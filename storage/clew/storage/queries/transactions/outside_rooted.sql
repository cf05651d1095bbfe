-- with roots_outside
, outside AS (SELECT * FROM roots_outside)
