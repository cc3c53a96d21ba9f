"""The program of a thumbnail worker; it runs in the sandbox and loads nothing of Datasette."""
