"""The library, room by room."""
