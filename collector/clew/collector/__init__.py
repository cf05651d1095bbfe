"""The collector: OTLP in, acknowledged once it is on the disk, loaded into storage exactly once.

http, grpc   receive, check and answer
otlp         request bodies: decoding, counting, the one form that is kept
ids          items with invalid ids, found and taken out
values       nested attribute values as text
descriptors  OTLP's messages in other shapes, for these two
spool        segments on the disk
loader       segments into storage
"""
