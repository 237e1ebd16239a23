"""The main job as a Prefect flow, as plain steps, and as a command line. The only package that imports prefect."""
