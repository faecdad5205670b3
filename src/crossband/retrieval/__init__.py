"""crossband.retrieval."""
