"""From lengths to blocks."""
