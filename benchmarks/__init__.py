"""What is measured, each with the way it was measured; not part of the tests."""
