"""An app with a field of every kind and a primary key of every kind."""
