"""Language models: the interface to them, and the local and the remote way to one."""
