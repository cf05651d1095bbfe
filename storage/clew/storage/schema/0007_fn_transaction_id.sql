-- The id of an automatic transaction, 16 digits: the same for the same service and operation, everywhere and for good.
CREATE OR REPLACE FUNCTION clew_transaction_id AS (service, operation) ->
    lower(leftPad(hex(sipHash64(service, operation)), 16, '0'))
