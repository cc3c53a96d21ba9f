"""One confined child process, and the framing that the server and the child speak."""
