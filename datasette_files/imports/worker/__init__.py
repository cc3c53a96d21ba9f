"""The program of an import; it runs in the sandbox and loads nothing of Datasette."""
