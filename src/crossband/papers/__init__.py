"""Papers whose tables are measured without training, one a file, and their registry.

A paper whose networks are trained is a folder of recipes instead; see ``crossband.training.verbs.PAPERS``.
"""

from ._registry import Paper, Reproduction, find_paper, list_papers, register_paper

__all__ = ["Paper", "Reproduction", "find_paper", "list_papers", "register_paper"]
