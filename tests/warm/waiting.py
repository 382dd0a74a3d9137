"""A process that says its id and then waits: `python -m tests.warm.waiting`."""

import os
import time

if __name__ == "__main__":
    print(os.getpid(), flush=True)
    time.sleep(300)
