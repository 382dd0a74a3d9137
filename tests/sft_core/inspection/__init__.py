"""Looking at prepared data."""
