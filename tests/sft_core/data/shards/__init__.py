"""From blocks to data sets."""
