"""One Prefect task per stage, one file per task: the effects around `sft_core`'s functions."""
