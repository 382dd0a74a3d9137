"""The `sft` command: a thin command line over the flows."""
