-- The messages to receivers: with {direction} -1 the newest first, with 1 the oldest. {after_time}, in milliseconds
-- since 1970, and {after_id} are of the last message of the page before.
SELECT
    Key AS key,
    Receiver AS receiver,
    Alert AS alert,
    toString(Transition) AS transition,
    toString(State) AS state,
    Attempts AS attempts,
    Error AS error,
    toUnixTimestamp64Milli(CreatedAt) AS time,
    Notification AS notification
FROM otel.clew_outbox FINAL
WHERE ({receiver:Nullable(String)} IS NULL OR Receiver = {receiver:Nullable(String)})
  AND ({state:Nullable(String)} IS NULL OR State = {state:Nullable(String)})
  AND ({alert:Nullable(String)} IS NULL OR Alert = {alert:Nullable(String)})
  AND (
    {after_time:Nullable(Int64)} IS NULL
    OR ({direction:Int8} * toUnixTimestamp64Milli(CreatedAt), Key)
     > ({direction:Int8} * assumeNotNull({after_time:Nullable(Int64)}), {after_id:String})
  )
ORDER BY {direction:Int8} * toUnixTimestamp64Milli(CreatedAt), Key
LIMIT {limit:UInt32}
