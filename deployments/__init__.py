"""Deployment of the flows: servers, workers, work pools, and schedules."""
