"""HTTP only: a view reads input, calls one use case, renders. routes.py has the table of routes."""
