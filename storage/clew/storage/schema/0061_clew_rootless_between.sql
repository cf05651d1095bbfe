-- Nobody reads this view any more.
DROP VIEW IF EXISTS otel.clew_rootless_between
