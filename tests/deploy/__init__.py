"""Tests of deploy/: image, entrypoint, compose file, Kubernetes, pipelines."""
