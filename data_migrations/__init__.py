"""One-off data migrations for Django, run exactly once in every environment."""

__version__ = "0.1.0"
