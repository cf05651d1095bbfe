-- Makes the index for the parts that are stored already, in the background.
ALTER TABLE otel.otel_logs MATERIALIZE INDEX idx_search_text
