"""The Edge Agent: runs workflows written in YAML, with a language model at hand."""

__version__ = "0.1.0"
