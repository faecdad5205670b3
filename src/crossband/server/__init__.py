"""A REST API and a page over galleries: ``crossband serve``.

Needs the extra ``serve``; nothing here is imported without it but :class:`Settings` and :func:`serve`.
"""

from .settings import Settings
from .start import serve

__all__ = ["Settings", "serve"]
