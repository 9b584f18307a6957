"""Run every benchmark in turn, each in a process of its own; one that lacks its data says so and the rest go on."""

import pkgutil
import subprocess
import sys

import tests.bench

ON_REQUEST = {"tracker_rivals"}  # installs other people's packages: make bench-tracker

failed = []
for module in pkgutil.iter_modules(tests.bench.__path__):
    if module.name.startswith("_") or module.name in ON_REQUEST:
        continue
    print(f"\n== {module.name} ==", flush=True)
    if subprocess.run([sys.executable, "-m", f"tests.bench.{module.name}"], check=False).returncode:
        failed.append(module.name)
if failed:
    sys.exit(f"failed: {', '.join(failed)}")
