"""The collector: receives OTLP, acknowledges it once it is on disk, loads it exactly once.

http, grpc   the receivers
inflating    content encodings, and why a body is refused
otlp         decodes, checks and counts requests
ids          what every item must have: valid ids and times
mending      requests with odd items, each mended or rejected alone
redacting    removes secrets before the spool
values       writes out nested attribute values as text
descriptors  variants of OTLP's messages, for otlp, ids, values and redacting
segment      a file of requests: its format, its name, its recovery after damage
spool        writes segments
loader       loads segments into the tables
deadletter   requests that the engine refuses, set aside
ledger       the account of what became of every item
telemetry    the collector's own metrics
limits       limits on memory and disk
"""
