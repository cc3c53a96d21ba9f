"""Configured sources: start, settings, secrets, health, and reading a storage."""
