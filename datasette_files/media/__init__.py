"""Content types as pure functions: parsing, families, sniffing from the first bytes."""
