"""The filters and tests of templates."""
