"""crossband.reports."""
