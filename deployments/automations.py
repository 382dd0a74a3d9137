"""What a Prefect server does by itself when something happens to our runs."""


def make_automations() -> list[str]:
    """Make or update them on the server that `PREFECT_API_URL` names; return their names."""
    return []
