"""The Docker engine: its connection, containers and buildx."""
