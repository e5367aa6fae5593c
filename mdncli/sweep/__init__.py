"""Many trials of one config: which there are, their training, and their ranking.

`axes` and `space` say which points there are, `trials` makes configs of them, `stacks` puts those
of one shape together, `executors` train stacks here, in processes or on a cluster, `driver` keeps
them busy, and `ranking` says which is best. The folder of a sweep, `folder`, is all the memory it
has: a trial is finished when its folder has a result.
"""
