"""The `sft` command: thin verbs over the flows."""
