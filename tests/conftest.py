"""Hypothesis draws the same examples in every run: a red build is never a matter of luck."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
