"""The operations console for data migrations, inside the Django admin."""
