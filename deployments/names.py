"""Names on the Prefect server that deployments, workers, limits and automations share."""

CPU_POOL = "sft-cpu"
"""Work pool of everything that needs no GPU: preparation, look-ups, and flows that wait for others."""
GPU_POOL = "sft-gpu"
"""Work pool of training and evaluation; its concurrency limit is the number of runs that share the GPUs."""
TRAIN_DEPLOYMENT = "sft/sft"
"""FLOW/DEPLOYMENT that runs a whole recipe on `GPU_POOL`."""
