"""One compilation: load, run the pipeline, build the graphs beside training, describe the artifact, write it."""
