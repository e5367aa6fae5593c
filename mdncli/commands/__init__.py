"""Commands of `mdn`: one module each, with a function that returns an `Answer`."""
