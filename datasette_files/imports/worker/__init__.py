"""The program of an import; it runs in the sandbox and does not load Datasette."""
