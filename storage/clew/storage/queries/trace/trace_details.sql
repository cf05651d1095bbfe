-- with span_rows
-- Those with some ids that start between {first} and {last}; of rows that were sent twice one.
    AND SpanId IN {ids:Array(String)}
    AND Timestamp >= {first:DateTime64(9)} AND Timestamp <= {last:DateTime64(9)}
LIMIT 1 BY began, lasted, kind, SpanId, ParentSpanId
