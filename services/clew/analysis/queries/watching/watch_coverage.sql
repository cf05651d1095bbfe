-- What the watcher said last about what it watches, as JSON.
SELECT argMax(Document, Version) AS document
FROM otel.clew_watched
GROUP BY Name
