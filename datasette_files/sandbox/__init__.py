"""One confined child process, and the framing that the server and the child speak.

In the server: process.py. In the child: child.py, confinement.py, landlock.py. Both sides':
framing.py.
"""
