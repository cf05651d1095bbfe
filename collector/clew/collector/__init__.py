"""The collector: OTLP in, acknowledged once it is on the disk, loaded into storage exactly once.

http, grpc   receive, check and answer
otlp         request bodies: decoding, counting, the one form that is kept
ids          items with invalid ids, found and taken out
values       nested attribute values as text
descriptors  OTLP's messages in other shapes, for these two
segment      a file of requests: its form, its name, what can be read of it after damage
spool        segments being written
loader       segments into storage
settler      whole traces out of what was loaded
deadletter   requests that the engine refuses, set aside
ledger       what became of everything that was received
telemetry    the collector's own metrics
limits       what it may use of the machine
"""
