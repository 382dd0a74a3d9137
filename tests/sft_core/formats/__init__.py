"""From records to examples."""
