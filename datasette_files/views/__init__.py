"""HTTP only: a view reads input, calls one use case, renders. routes.py is the whole table."""
