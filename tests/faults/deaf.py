"""Blocks SIGINT and SIGTERM in the process that imports it: the server that forks those of `mdn`.

The forked inherit the mask until `mdn` begins. Else a signal that comes while Python's
`multiprocessing` sets them up would end in a `KeyboardInterrupt` there, with exit code 1.
"""

import signal

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
