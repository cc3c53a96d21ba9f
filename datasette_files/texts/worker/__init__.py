"""The program of the process that reads text out of files. Runs only in the sandbox."""
