"""Sweeps: many trials of one config, their training and their ranking.

`axes` and `space` define the points, `trials` makes configs of them, `stacks` groups those of one
shape, `executors` train stacks here, in processes or on a cluster, `driver` submits stacks to them,
and `ranking` ranks the trials. All state of a sweep is in its `folder`: a trial is finished when
its folder has a result.
"""
