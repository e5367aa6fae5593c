"""Many trials of one config: which there are, who trains them, and what came of it.

`axes` and `space` say which points there are, `trials` makes configs of them, `orders` cuts them
into stacks, `crews` train stacks here, in processes or on a cluster, `driver` keeps them busy, and
`ranking` says which is best. The folder of a sweep is all the memory it has: a trial is finished
when its folder has a result.
"""
