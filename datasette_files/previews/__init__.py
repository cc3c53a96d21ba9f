"""Pictures of files: the icons that stand for a type, and the workers that decode what has one.

Two sides, apart. In the server: icons.py, kinds.py (what can be pictured), workers.py (processes
that do it). In a worker alone, confined by sandbox/: worker/. media_types.py is both sides'.
"""
