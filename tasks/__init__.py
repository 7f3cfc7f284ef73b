"""The task suite: everything that a session does."""
