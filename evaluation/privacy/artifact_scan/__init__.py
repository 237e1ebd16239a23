"""A search for train rows in the files that leave the building."""

from .scan import Planted, scan

__all__ = ["Planted", "scan"]
