"""`mdn runs`: the life of run folders, a module for each of its subcommands."""
