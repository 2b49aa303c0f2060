import importlib

Migration = importlib.import_module("tests.testapp.migrations.0001_initial").Migration
