"""What a tag makes, and all that is published beside the bundles."""
