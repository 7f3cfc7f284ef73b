"""The package for browsers and its site."""
