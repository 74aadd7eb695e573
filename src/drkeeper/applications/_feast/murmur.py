"""MurmurHash3, the 32-bit one for x86: Feast names a feature's field in Redis by it.

The algorithm: https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp (public domain).
"""

_MASK = 0xFFFFFFFF
_BLOCK_FACTOR = 0xCC9E2D51
_SECOND_FACTOR = 0x1B873593


def murmur3_32(data: bytes) -> int:
    """The hash with seed 0, unsigned."""
    state, whole = 0, len(data) & ~3
    for start in range(0, whole, 4):
        state = _rotated(state ^ _scrambled(int.from_bytes(data[start : start + 4], "little")), 13)
        state = (state * 5 + 0xE6546B64) & _MASK
    if whole < len(data):
        state ^= _scrambled(int.from_bytes(data[whole:], "little"))
    state ^= len(data)
    state = ((state ^ (state >> 16)) * 0x85EBCA6B) & _MASK
    state = ((state ^ (state >> 13)) * 0xC2B2AE35) & _MASK
    return state ^ (state >> 16)


def _scrambled(block: int) -> int:
    return (_rotated((block * _BLOCK_FACTOR) & _MASK, 15) * _SECOND_FACTOR) & _MASK


def _rotated(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _MASK
