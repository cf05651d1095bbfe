-- When the newest settled trace of before a time began.
SELECT toUnixTimestamp64Nano(max(Timestamp)) AS newest
FROM otel.clew_settled
WHERE Timestamp < {until:DateTime64(9)}
