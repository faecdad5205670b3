"""Multi-spectral re-identification: the task, its evaluation, search in a user's frames, re-ranking."""
