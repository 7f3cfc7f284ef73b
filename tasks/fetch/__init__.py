"""Models from the Hub, a package or a file, into the store, resumed and verified."""
