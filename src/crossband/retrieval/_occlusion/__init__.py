"""Occlusion, fast: compute only what a mask changes. Serves :mod:`crossband.retrieval.similarity_map` alone."""
