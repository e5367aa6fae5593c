import pytest

from mdncli.data.streams import stream


def draws(*key):
    return stream(*key).integers(2**63, size=4).tolist()


def test_a_name_gives_the_same_numbers_every_time():
    assert draws(7, "init") == draws(7, "init")


def test_every_part_of_the_key_matters():
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 1, 0), (0, "a", 0, 1)]
    assert len({tuple(draws(*key)) for key in keys}) == len(keys)


def test_the_streams_are_pinned():
    # Stored runs are resumed and reproduced from these numbers: they may never change.
    assert stream(3, "batches", 2, 5).permutation(6).tolist() == [4, 5, 0, 3, 1, 2]
    assert stream(0, "split").random() == 0.5265092608210682


@pytest.mark.parametrize("key", [(-1, "a"), (0, "a", -1)])
def test_negative_numbers_are_refused(key):
    with pytest.raises(ValueError):
        stream(*key)
