"""Pictures of files: the icons that stand for a type. Thumbnail generators join them here."""
