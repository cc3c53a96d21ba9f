"""File columns: the column types, their values and rules, cells, and where a file is used."""
