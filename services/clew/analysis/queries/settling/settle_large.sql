-- with settle_spans
-- The spans of one large trace, in the order that settle_traces has them in.
SELECT
    leftPad(lower(hex(id)), 16, '0') AS id,
    if(spans.parent = 0, '', leftPad(lower(hex(spans.parent)), 16, '0')) AS parent,
    began, ended, toBool(spans.failed) AS failed, type, service, name, kind, environment, target, summary,
    toUnixTimestamp(inserted) AS inserted
FROM spans
ORDER BY began, ended DESC, spans.id, spans.parent, code, failed, type, service, name, kind
LIMIT {limit:UInt64}
