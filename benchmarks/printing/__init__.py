"""A data migration that prints: what the measurements of the log watch."""
