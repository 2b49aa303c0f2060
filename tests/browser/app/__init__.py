"""Data migrations for the browser to watch."""
