"""The only SQL on a user's databases. Leaves out who may see their tables (uses.py asks)."""
