"""crossband.models."""
