"""Pipelines: what chains several models into one answer."""
