"""Frames become samples and batches for networks: readers, preprocessing, augmentation, parts of a recipe."""
