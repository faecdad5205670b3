"""Networks of learned local features, each registered by its name; see :mod:`crossband.matching.keypoints`."""
