"""A model of the large demo shop: its telemetry of any time, made in a moment."""
