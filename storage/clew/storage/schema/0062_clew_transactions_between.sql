-- Nobody reads this view any more.
DROP VIEW IF EXISTS otel.clew_transactions_between
