-- with outline_rows
-- Of all spans, in no order: to sort them here costs more than in the reader.
LIMIT {limit:UInt32}
