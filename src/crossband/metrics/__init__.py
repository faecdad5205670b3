"""crossband.metrics."""
