"""Time: the loop, the step, the mesh, checkpoints, logs."""
