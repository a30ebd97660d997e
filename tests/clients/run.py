"""Runs the tests of the modules named (all without names): `LARDER_BIN=... python run.py [redis_py|artifacts|..]...`"""

import importlib
import sys

import harness

NAMES = sys.argv[1:] or ["redis_py", "artifacts", "django_cache", "cli", "queues", "sidekiq", "scripts"]

harness.run([importlib.import_module(name) for name in NAMES])
