"""The tree, beside the recursive words of RFC 9162 and the vectors of certificate transparency."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.rules.merkle import MerkleTree, leaf_hash, node_hash, root_from

# The eight leaves, and the roots of the first n of them, that certificate transparency is tested with.
CT_LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
CT_LEAVES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = [1, 2, 3, 5, 8, 100, 255, 256, 257, 511, 513, 1000, 4097]


def by_the_words(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 9162 §2.1.1 has it."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + by_the_words(leaves[:split]) + by_the_words(leaves[split:])).digest()


def path_by_the_words(index: int, leaves: list[bytes]) -> list[bytes]:
    """Return the path as RFC 9162 §2.1.3.1 has it."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*path_by_the_words(index, leaves[:split]), by_the_words(leaves[split:])]
    return [*path_by_the_words(index - split, leaves[split:]), by_the_words(leaves[:split])]


def leaves_of(count: int) -> list[bytes]:
    return [f"ticket-{number}".encode() for number in range(count)]


@pytest.mark.parametrize("count", range(1, 9))
def test_the_roots_are_those_of_certificate_transparency(count: int) -> None:
    assert MerkleTree(CT_LEAVES[:count]).root.hex() == CT_ROOTS[count - 1]


def test_the_tree_of_nothing_has_a_root_and_no_path() -> None:
    tree = MerkleTree([])

    assert (len(tree), tree.root) == (0, sha256(b"").digest())
    with pytest.raises(IndexError):
        tree.path(0)


@pytest.mark.parametrize("count", SIZES)
def test_root_and_paths_are_what_the_words_say(count: int) -> None:
    leaves = leaves_of(count)
    tree = MerkleTree(leaves)

    assert tree.root == by_the_words(leaves)
    for index in {0, count // 3, count // 2, count - 1}:
        assert tree.path(index) == path_by_the_words(index, leaves)


@given(st.integers(1, 700), st.data())
def test_every_true_leaf_is_found_in_its_place_and_in_no_other(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count)
    tree, index = MerkleTree(leaves), data.draw(st.integers(0, count - 1))
    path, leaf = tree.path(index), leaf_hash(leaves[index])

    assert tree.leaf(index) == leaf
    assert root_from(leaf, index, count, path) == tree.root
    other = data.draw(st.integers(-2, count + 2).filter(lambda number: number != index))
    assert root_from(leaf, other, count, path) != tree.root, "moved"
    assert root_from(leaf_hash(b"somebody else"), index, count, path) != tree.root, "forged"


@given(st.integers(2, 700), st.data())
def test_a_path_that_was_touched_leads_elsewhere(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count)
    tree, index = MerkleTree(leaves), data.draw(st.integers(0, count - 1))
    path, leaf = tree.path(index), leaf_hash(leaves[index])
    at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    flipped = (int.from_bytes(path[at]) ^ (1 << bit)).to_bytes(32)

    assert root_from(leaf, index, count, [*path[:at], flipped, *path[at + 1 :]]) != tree.root
    assert root_from(leaf, index, count, path[:-1]) != tree.root
    assert root_from(leaf, index, count, [*path, bytes(32)]) != tree.root


def test_a_node_never_passes_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")

    assert leaf_hash(left + right) != node_hash(left, right)
