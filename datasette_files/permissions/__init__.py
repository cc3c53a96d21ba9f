"""Actions, rules and grants: the one place where access is decided."""
