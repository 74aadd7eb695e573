"""What a chain of links says of itself. Pure: links as regions hold them in, checks out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drkeeper._audit.link import UNREADABLE, Link, Place
from drkeeper.facts import Check

SHOWN = 12
AWAY = "if the region was away when the link was written, `drkeeper replicate` brings it there; else it was removed"
TAMPERED = "find out who can write below audit/, and compare with the evidence of drills that is kept elsewhere"


@dataclass
class Held:
    """One link, as each region that answers holds it.

    Attributes:
        place: Where it lies.
        links: Region -> the link, where it is whole.
        digests: Region -> its digest.
        faults: Region -> why it is not whole there.
    """

    place: Place
    links: dict[str, Link] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def check_chain(held: Sequence[Held], anchors: Mapping[str, str]) -> Iterator[Check]:
    """Every statement about the chain that can be put to the test.

    Args:
        held: All links, in the order of their places.
        anchors: Words -> number and digest of a link, as they were written down elsewhere at some time.
    """
    named = _named(held)
    everything = [
        *(check for each in held for check in _check_copies(each, named)),
        *_check_numbers(held),
        *_check_references(held),
        *_check_named(held, named),
    ]
    findings = list({check.subject: check for check in reversed(everything)}.values())[::-1]  # the first of each
    if not held:
        yield Check(subject="audit.chain", verdict="not checked", detail="the log has no link yet")
    elif not any(check.verdict == "failed" and check.severity == "error" for check in findings):
        newest = held[-1]
        digest = next(iter(newest.digests.values()))
        yield Check(
            subject="audit.chain",
            verdict="passed",
            detail=f"{len(held)} links, each naming the one before it; the newest is {newest.place}, {digest[:SHOWN]}…",
        )
    yield from findings
    yield from _check_anchors(held, anchors)


def _named(held: Iterable[Held]) -> set[str]:
    """The digests that links name."""
    links = [link for each in held for link in each.links.values()]
    beside = {text.partition(" ")[2] for link in links for text in link.beside.values()}
    return {link.previous for link in links} | beside


def _check_copies(each: Held, named: set[str]) -> Iterator[Check]:
    """Whether a link is whole, where it belongs, and the same in each region."""
    for region, fault in each.faults.items():
        elsewhere = f"; {', '.join(each.links)} has it whole" if each.links else ""
        remedy = AWAY if fault == "missing" and each.links else TAMPERED
        yield _finding(f"{each.place.number}.{region}", f"link {each.place} is {fault} in {region}{elsewhere}", remedy)
    for region, link in each.links.items():
        if (link.number, link.region) != (each.place.number, each.place.region):
            lies = f"what lies in {region} as link {each.place} says that it is {link.number} ({link.region})"
            yield _finding(f"{each.place.number}.{region}", f"{lies}: links were exchanged", TAMPERED)
    if len(set(each.digests.values())) > 1:
        right = [region for region, digest in each.digests.items() if digest in named]
        follows = f"; the link after it names the one in {', '.join(right)}" if right else ""
        yield _finding(
            f"{each.place.number}", f"link {each.place} differs between {', '.join(each.digests)}{follows}", TAMPERED
        )


def _check_numbers(held: Sequence[Held]) -> Iterator[Check]:
    """Whether numbers go on from 1 without a gap."""
    expected = 1
    for each in held:
        if each.place.number > expected:
            gone = f"{expected}" if each.place.number == expected + 1 else f"{expected} to {each.place.number - 1}"
            yield _finding(f"{expected}", f"link {gone} is in no region: cut out", TAMPERED)
        expected = max(expected, each.place.number + 1)


def _check_references(held: Sequence[Held]) -> Iterator[Check]:
    """Whether each link names what is there."""
    numbered: dict[int, list[Held]] = {}
    for each in held:
        numbered.setdefault(each.place.number, []).append(each)
    for each in held:
        for link in _distinct(each):
            yield from _check_previous(each.place, link, numbered.get(each.place.number - 1, []))
            for region, text in link.beside.items():
                number, digest = _named_link(text)
                at = [one for one in numbered.get(number, []) if one.place.region == region]
                if digest != UNREADABLE and not _holds(at, digest):
                    told = f"link {each.place} names link {number} ({region}), which is not there as it was"
                    yield _finding(f"{number}", f"{told}: cut out, or edited", TAMPERED)


def _check_previous(place: Place, link: Link, before: Sequence[Held]) -> Iterator[Check]:
    if place.number == 1 and not link.previous:
        return
    if link.previous == UNREADABLE:
        told = f"the link before {place} was damaged when this one was written"
        yield Check(subject=f"audit.{place.number}", verdict="not checked", detail=told)
    elif any(each.links for each in before) and not _holds(before, link.previous):
        told = f"link {place} names another link before it than link {place.number - 1}: one of both was edited"
        yield _finding(f"{place.number - 1}", told, TAMPERED)


def _check_named(held: Sequence[Held], named: set[str]) -> Iterator[Check]:
    """Whether each link but the newest is named by another; what is not was put in later, or lost what followed it."""
    newest = {each.place.region: each.place for each in held}
    numbers = {each.place.number for each in held}
    for each in held[:-1]:
        followed = each.place.number + 1 in numbers
        if not each.digests or not followed or named.intersection(each.digests.values()):
            continue
        if each.place == newest[each.place.region]:
            told = f"the log went on in {each.place.region} alone up to link {each.place}; the next link joins it"
            yield _finding(f"{each.place.number}", told, "", severity="warning")
        else:
            yield _finding(f"{each.place.number}", f"no link names link {each.place}: put in, or edited", TAMPERED)


def _check_anchors(held: Sequence[Held], anchors: Mapping[str, str]) -> Iterator[Check]:
    """Whether the log still holds what was written down of it elsewhere: who cuts its end cannot cut that."""
    wrong = False
    newest = held[-1].place.number if held else 0
    for words, text in anchors.items():
        number, digest = _named_link(text)
        if _holds([each for each in held if each.place.number == number], digest):
            continue
        wrong = True
        cut = f"the log ends with {newest}: its end was cut off" if number > newest else "it is another one now"
        yield _finding(f"{number}", f"{words} saw link {number} ({digest[:SHOWN]}…), and {cut}", TAMPERED)
    if anchors and not wrong:
        seen = max(_named_link(text)[0] for text in anchors.values())
        told = f"as {len(anchors)} drills wrote it down, up to link {seen}"
        yield Check(subject="audit.anchors", verdict="passed", detail=told)
    elif not anchors:
        told = "no drill has written down yet how far the log had come: a cut end would not be noticed"
        yield Check(subject="audit.anchors", verdict="not checked", detail=told)


def _named_link(text: str) -> tuple[int, str]:
    """Number and digest of a link, as others name it; 0, which no link has, where that is no such name."""
    number, _, digest = text.partition(" ")
    return (int(number) if number.isdecimal() else 0), digest


def _distinct(each: Held) -> list[Link]:
    """A link once, however many regions hold it alike."""
    return list({each.digests[region]: link for region, link in each.links.items()}.values())


def _holds(places: Iterable[Held], digest: str) -> bool:
    return any(digest in each.digests.values() for each in places)


def _finding(subject: str, detail: str, remedy: str, *, severity: str = "error") -> Check:
    return Check.model_validate(
        {"subject": f"audit.{subject}", "verdict": "failed", "detail": detail, "severity": severity, "remedy": remedy}
    )
