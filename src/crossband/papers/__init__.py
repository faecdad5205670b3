"""One paper, one file: its published figures, its protocol, and what reproduces it."""

from ._registry import Paper, Reproduction, Request, list_papers, register_paper
from ._reproduce import reproduce, reproduce_recipes

__all__ = [
    "Paper",
    "Reproduction",
    "Request",
    "list_papers",
    "register_paper",
    "reproduce",
    "reproduce_recipes",
]
