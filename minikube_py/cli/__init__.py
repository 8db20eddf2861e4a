"""The command line. Imports lazily."""
