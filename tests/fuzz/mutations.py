"""Ways to damage the header of a FITS file.

Card by card, as careless programs do, and byte by byte, as disks do.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Cards = list[bytes]

__all__ = ["BLOCK", "CARD", "cards_of", "header_of", "mutated"]

CARD, BLOCK = 80, 2880  # bytes

KEYS = (
    b"SIMPLE BITPIX NAXIS NAXIS1 NAXIS2 NAXIS3 EXTEND GROUPS PCOUNT GCOUNT XTENSION EXTNAME "
    b"BSCALE BZERO BLANK BUNIT FILTER FILETYPE INSTRUME DETECTOR XDFVER ABZP PHOTFNU PHOTFLAM "
    b"PHOTPLAM PSFFWHM CHECKSUM DATASUM ZIMAGE TFIELDS WCSAXES WCSNAME CTYPE1 CTYPE2 CTYPE3 "
    b"CUNIT1 CUNIT2 CRPIX1 CRPIX2 CRVAL1 CRVAL2 CRVAL3 CDELT1 CDELT2 CROTA2 CD1_1 CD1_2 CD2_1 "
    b"CD2_2 CD3_3 PC1_1 PC1_2 PC2_1 PC2_2 CTYPE1A CRPIX1A PV1_1 PV2_1 PS1_0 A_ORDER A_2_0 "
    b"B_ORDER CPDIS1 LONPOLE LATPOLE RADESYS RADECSYS EQUINOX EPOCH MJD-OBS DATE-OBS LTV1 LTM1_1 "
    b"ORIENTAT DATE EXPTIME HSTCUBE CUBEID NBANDS OBJECT CONTINUE COMMENT HISTORY HIERARCH END "
).split()
HUGE = (
    b"1E308 -1E308 1E400 -1E400 99999999999999999999 2147483648 -2147483649 "
    b"1E-400 4E9 1000000 65536"
).split()
NOT_NUMBERS = b"NaN nan -NaN INF -inf Infinity 1E 1.2.3 0x10 1_000 -- 1,5 +-1".split()
OF_ANOTHER_TYPE = (
    b"T",
    b"F",
    b"''",
    b"'53.1'",
    b"'abc     '",
    b"(1.0, 2.0)",
    b"",
    b"0",
    b"0.0",
    b"1",
    b"-1",
    b"3.5",
    b"'T'",
    b"2",
    b"'/'",
    b"'it''s'",
    b"-32",
    b"32",
    b"16",
    b"8",
    b"-64",
    b"64",
    b"1D-5",
    b"100.",
    b".5",
    b"+100",
    b"1950.0",
    b"1990.0",
    b"'FK5     '",
    b"'FK4     '",
    b"'ICRS    '",
    b"'GALACTIC'",
    b"'deg     '",
    b"'arcsec  '",
    b"'RA---TAN'",
    b"'DEC--TAN'",
    b"'RA---SIN'",
    b"'GLON-TAN'",
    b"'RA---TAN-SIP'",
    b"'RA---TPV'",
    b"'nJy     '",
    b"'uJy'",
    b"'SCI'",
    b"'WHT     '",
    b"'ACS     '",
    b"'WFC     '",
    b"'UVIS    '",
    b"'f160w   '",
    b"'F435W   '",
    b"'IMAGE   '",
    b"1.0",
    b"1E-9",
)
SIZES_OF_A_HISTORY = (1, 1, 1, 5, 40, 300, 3000)


def mutated(rng: Random, header: bytes) -> bytes:
    """Return a header with one to some mutations, of whole blocks still."""
    for _ in range(min(1 + int(rng.expovariate(0.9)), 8)):
        if rng.random() < 0.7:
            cards = cards_of(header)
            rng.choice(CARD_MUTATIONS)(rng, cards)
            header = header_of(cards)
        else:
            raw = bytearray(header)
            rng.choice(RAW_MUTATIONS)(rng, raw)
            header = bytes(raw)
    return whole_blocks(header)


def cards_of(header: bytes) -> Cards:
    """Return the cards of a header, END and the blanks behind it left out."""
    cards = [header[i : i + CARD].ljust(CARD) for i in range(0, len(header), CARD)]
    end = next((i for i in reversed(range(len(cards))) if cards[i].rstrip() == b"END"), len(cards))
    return cards[:end]


def header_of(cards: Cards) -> bytes:
    return whole_blocks(b"".join(cards) + b"END".ljust(CARD))


def whole_blocks(header: bytes) -> bytes:
    return header + b" " * (-len(header) % BLOCK or (BLOCK if not header else 0))


def pieces(card: bytes) -> tuple[bytes, bytes, bytes]:
    """Return key, value and comment (with its slash) as they stand there."""
    quoted = re.match(rb"\s*'(?:[^']|'')*'", card[10:])
    start = 10 + (quoted.end() if quoted else 0)
    slash = card.find(b"/", start)
    slash = slash if slash >= 0 else CARD
    return card[:8], card[10:slash].strip(), card[slash:].rstrip()


def card_of(key: bytes, value: bytes, comment: bytes = b"") -> bytes:
    return (
        key.ljust(8)[:8] + b"= " + value.rjust(20) + (b" " + comment if comment else b"")
    ).ljust(CARD)[:CARD]


def any_place(rng: Random, cards: Cards) -> int:
    return rng.randrange(len(cards)) if cards else 0


def with_value(change: Callable[[Random, bytes], bytes]) -> Callable[[Random, Cards], None]:
    """Return a mutation of the value of one card."""

    def mutate(rng: Random, cards: Cards) -> None:
        if cards:
            i = any_place(rng, cards)
            key, value, comment = pieces(cards[i])
            cards[i] = card_of(key, change(rng, value), comment)

    return mutate


def as_number(value: bytes) -> float | None:
    try:
        return float(value.replace(b"D", b"E"))
    except ValueError:
        return None


def negated(_: Random, value: bytes) -> bytes:
    return value[1:] if value.startswith(b"-") else b"-" + value


def nudged(rng: Random, value: bytes) -> bytes:
    """Move a number a little, or some pixels, degrees or years."""
    number = as_number(value)
    if number is None or not math.isfinite(number):
        return value
    if b"." not in value:
        return str(int(number) + rng.choice((-100, -1, 1, 2, 100))).encode()
    step = rng.choice((-1, 1)) * 10 ** rng.uniform(-9, 2)
    return repr(number * (1 + step) if rng.random() < 0.5 else number + step).upper().encode()


def without_a_character(rng: Random, value: bytes) -> bytes:
    i = rng.randrange(len(value) or 1)
    return value[:i] + value[i + 1 :]


def delete(rng: Random, cards: Cards) -> None:
    if cards:
        del cards[any_place(rng, cards)]


def duplicate(rng: Random, cards: Cards) -> None:
    if cards:
        cards.insert(any_place(rng, cards), rng.choice(cards))


def duplicate_with_another_value(rng: Random, cards: Cards) -> None:
    if cards:
        key, _, comment = pieces(rng.choice(cards))
        cards.insert(any_place(rng, cards), card_of(key, pieces(rng.choice(cards))[1], comment))


def swap_values(rng: Random, cards: Cards) -> None:
    if cards:
        i, j = any_place(rng, cards), any_place(rng, cards)
        (a, x, c), (b, y, d) = pieces(cards[i]), pieces(cards[j])
        cards[i], cards[j] = card_of(a, y, c), card_of(b, x, d)


def swap_cards(rng: Random, cards: Cards) -> None:
    if cards:
        i, j = any_place(rng, cards), any_place(rng, cards)
        cards[i], cards[j] = cards[j], cards[i]


def rename(rng: Random, cards: Cards) -> None:
    if cards:
        i = any_place(rng, cards)
        cards[i] = rng.choice(KEYS).ljust(8) + cards[i][8:]


def write_small(rng: Random, cards: Cards) -> None:
    if cards:
        i = any_place(rng, cards)
        cards[i] = cards[i][:8].lower() + cards[i][8:]


def insert(rng: Random, cards: Cards) -> None:
    value = rng.choice((*OF_ANOTHER_TYPE, *HUGE, *NOT_NUMBERS))
    cards.insert(any_place(rng, cards), card_of(rng.choice(KEYS), value))


def insert_at_the_end(rng: Random, cards: Cards) -> None:
    insert(rng, cards)
    cards.append(card_of(rng.choice(KEYS), rng.choice((*OF_ANOTHER_TYPE, *HUGE))))


def leave_the_quote_open(rng: Random, cards: Cards) -> None:
    texts = [i for i, card in enumerate(cards) if card.count(b"'") > 1]
    if texts:
        i = rng.choice(texts)
        end = cards[i].rindex(b"'")
        cards[i] = cards[i][:end] + b" " + cards[i][end + 1 :]


def take_the_indicator(rng: Random, cards: Cards) -> None:
    if cards:
        i = any_place(rng, cards)
        cards[i] = cards[i][:8] + rng.choice((b"  ", b" =", b"=")) + cards[i][10:]
        cards[i] = cards[i].ljust(CARD)


def shift(rng: Random, cards: Cards) -> None:
    if cards:
        i, by = any_place(rng, cards), rng.randrange(1, 12)
        cards[i] = (
            cards[i][by:].ljust(CARD) if rng.random() < 0.5 else (b" " * by + cards[i])[:CARD]
        )


def strange_characters(rng: Random, cards: Cards) -> None:
    if cards:
        i = any_place(rng, cards)
        at, number = rng.randrange(CARD), rng.randrange(1, 6)
        some = rng.choice(
            (
                bytes(rng.randrange(128, 256) for _ in range(number)),
                b"\0" * number,
                b"\n\r\t\x1b\x7f",
            )
        )
        cards[i] = (cards[i][:at] + some + cards[i][at + len(some) :])[:CARD]


def long_history(rng: Random, cards: Cards) -> None:
    text = rng.choice((b"HISTORY ", b"COMMENT ", b"        ")) + b"drizzled with care " * 3
    at = any_place(rng, cards)
    cards[at:at] = [text.ljust(CARD)[:CARD]] * rng.choice(SIZES_OF_A_HISTORY)


def go_on(rng: Random, cards: Cards) -> None:
    value = rng.choice((b"'and so on&'", b"'open", b"", b"'&'", b"3.0"))
    cards.insert(any_place(rng, cards) + 1, (b"CONTINUE  " + value).ljust(CARD))


def end_early(rng: Random, cards: Cards) -> None:
    cards.insert(
        any_place(rng, cards), rng.choice((b"END", b"END     = T", b"END\0", b"END /")).ljust(CARD)
    )


def blank(rng: Random, cards: Cards) -> None:
    if cards:
        cards[any_place(rng, cards)] = rng.choice((b" ", b"\0", b"=", b"'", b"\xff")) * CARD


CARD_MUTATIONS = (
    with_value(negated),
    with_value(nudged),
    with_value(nudged),
    with_value(without_a_character),
    with_value(lambda rng, _: rng.choice(HUGE)),
    with_value(lambda rng, _: rng.choice(NOT_NUMBERS)),
    with_value(lambda rng, _: rng.choice(OF_ANOTHER_TYPE)),
    delete,
    duplicate,
    duplicate_with_another_value,
    swap_values,
    swap_cards,
    rename,
    write_small,
    insert,
    insert_at_the_end,
    leave_the_quote_open,
    take_the_indicator,
    shift,
    strange_characters,
    long_history,
    go_on,
    end_early,
    blank,
)


def flip(rng: Random, raw: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def overwrite(rng: Random, raw: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 2, 4))):
        raw[rng.randrange(len(raw))] = rng.choice(
            b" 0123456789'=/.-+EDTF\x00\xff&" + bytes([rng.randrange(256)])
        )


def wipe(rng: Random, raw: bytearray) -> None:
    at, number = rng.randrange(len(raw)), rng.choice((1, 8, 80, 512))
    number = min(number, len(raw) - at)
    raw[at : at + number] = rng.choice((b"\0", b" ", b"\xff")) * number


def copy(rng: Random, raw: bytearray) -> None:
    number = rng.choice((1, 4, 20, 80, 160))
    start, to = rng.randrange(len(raw)), rng.randrange(len(raw))
    part = raw[start : start + number][: len(raw) - to]
    raw[to : to + len(part)] = part


def insert_bytes(rng: Random, raw: bytearray) -> None:
    at = rng.randrange(len(raw))
    raw[at:at] = rng.randbytes(rng.choice((1, 2, 80)))
    del raw[-(len(raw) % BLOCK) :]


def delete_bytes(rng: Random, raw: bytearray) -> None:
    at = rng.randrange(len(raw))
    del raw[at : at + rng.choice((1, 2, 80))]
    raw += b" " * (-len(raw) % BLOCK)


RAW_MUTATIONS = (flip, overwrite, overwrite, wipe, copy, insert_bytes, delete_bytes)
