"""From text to ids and masks."""
