"""Pictures and previews of files: thumbnails, icons, and the heads of texts, tables and archives.

workers.py starts the processes that decode pictures; worker/ runs in those processes
only, confined by sandbox/. Both sides import media_types.py; every other module runs in
the server.
"""
