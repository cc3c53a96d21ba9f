"""Long work of any kind: jobs with progress and cancel, leased loops, bounded parallel work."""
