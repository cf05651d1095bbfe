-- Nobody reads this view any more. Clients that describe every table of the database could not describe it: a view
-- with parameters has no columns without them.
DROP VIEW IF EXISTS otel.clew_operations_between
