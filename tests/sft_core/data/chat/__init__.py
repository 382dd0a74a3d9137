"""From examples to text and spans."""
