"""The HTTP surface, route by route."""
