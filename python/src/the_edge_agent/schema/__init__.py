"""JSON Schema (2020-12): the keywords that spec/schema.toml lists."""
