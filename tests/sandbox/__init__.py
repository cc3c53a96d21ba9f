"""The confined child process: what it may not do, how it is spoken to, how it ends."""
