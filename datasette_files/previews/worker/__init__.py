"""The program of a thumbnail worker; it runs in the sandbox and does not load Datasette."""
