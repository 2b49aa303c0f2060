"""The operations console: data migrations run from the admin by a background worker, their logs kept."""
