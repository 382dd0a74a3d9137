"""What things are called on a Prefect server, so that deployments, workers, limits and automations name the same."""

CPU_POOL = "sft-cpu"
"""Work pool of everything that needs no GPU: preparation, look-ups, and flows that wait for others."""
GPU_POOL = "sft-gpu"
"""Work pool of training and evaluation; as many runs at a time as there are GPUs to share out."""
TRAIN_DEPLOYMENT = "sft/sft"
"""FLOW/DEPLOYMENT that runs a whole recipe on `GPU_POOL`."""
