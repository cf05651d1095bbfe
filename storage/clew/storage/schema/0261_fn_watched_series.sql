-- The watched series that a row of an operation's counts is of: the operation's, the transaction's whose root it is, and
-- the service's, if the row counts for that. Ids are those of clew_watch_1h.
CREATE OR REPLACE FUNCTION clew_watched_series AS (environment, service, operation, is_root, is_of_service) ->
    arrayConcat(
        [cityHash64('operation', environment, service, operation)],
        if(is_root, [cityHash64('transaction', environment, service, operation)], []),
        if(is_of_service, [cityHash64('service', environment, service, '')], []))
