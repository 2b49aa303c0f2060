"""The runnable site of this repository."""
