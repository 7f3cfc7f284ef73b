"""YAML text into values that know their place in the file."""
