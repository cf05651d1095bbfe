-- The id of an automatic transaction: the same for the same service and operation, everywhere and for good.
CREATE OR REPLACE FUNCTION clew_transaction_id AS (service, operation) ->
    lower(hex(sipHash64(service, operation)))
