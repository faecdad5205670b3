"""Benchmarks: ratios against something named, in turn, in one run; ``python -m benchmarks`` runs all."""
