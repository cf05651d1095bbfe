-- with records
    -- The oldest first.
    AND ({after_time:Nullable(DateTime64(9))} IS NULL
        OR Timestamp > {after_time:Nullable(DateTime64(9))}
        OR (Timestamp = {after_time:Nullable(DateTime64(9))} AND sequence >= {after_id:String}))
ORDER BY Timestamp, sequence
LIMIT {limit:UInt32} OFFSET {skip:UInt64}
