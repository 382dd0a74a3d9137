"""Images: found, checked, kept."""
