"""crossband.nn."""
