-- with span_rows
-- Every span of one trace: 100,000 would be sorted in memory, whole.
LIMIT {limit:UInt32}
