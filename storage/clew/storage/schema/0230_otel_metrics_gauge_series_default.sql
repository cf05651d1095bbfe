-- Series is Stream, whoever writes the row: the landing view has written it so since there is Stream, and a row that
-- is inserted without it is then the same.
ALTER TABLE otel.otel_metrics_gauge
    MODIFY COLUMN Series DEFAULT Stream
