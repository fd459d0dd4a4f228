"""The worker as Faust's own command finds it: `faust -A worker.app worker`."""

import os

from runtime.settings import Settings
from worker.bootstrap import create_app

app = create_app(Settings.from_mapping(os.environ))
