"""CoNLL as it is in the wild: every scheme and form is read for what it says, or refused with the line and a remedy."""

import doctest
import re
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import conll
from models.conll import Sentence, inside, spans


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file with the given bytes."""
    path = tmp_path_factory.mktemp("conll") / "some.conll"

    def write(data):
        path.write_bytes(data)
        return path

    return write


def tagged(tags):
    return Sentence([f"t{i}" for i in range(len(tags.split()))], tags.split())


def test_the_examples_in_the_docstrings():
    result = doctest.testmod(conll)
    assert result.attempted >= 4 and not result.failed


# schemes


def iob1(length, name, glued):
    return ["B-" + name if glued else "I-" + name] + ["I-" + name] * (length - 1)


def with_ends(one, last):
    def write(length, name, glued):
        middle = ["B-" + name] + ["I-" + name] * (length - 2) + [last + name]
        return [one + name] if length == 1 else middle

    return write


SCHEMES = {
    "IO": lambda length, name, glued: ["I-" + name] * length,
    "IOB1": iob1,
    "IOB2": lambda length, name, glued: ["B-" + name] + ["I-" + name] * (length - 1),
    "IOBES": with_ends("S-", "E-"),
    "BILOU": with_ends("U-", "L-"),
}
TYPES = ["LOC", "PER", "creative-work"]
segments = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([*TYPES, None])), min_size=1, max_size=8)
# what may be in a token: anything but what separates columns, and lines, and a sign of the file itself at its start;
# numbers could number the tokens
anything = st.characters(exclude_categories=["Cs", "Nd"], exclude_characters="\t\n\r ")
token = st.text(anything, min_size=1, max_size=6).filter(lambda t: not t.startswith(("\ufeff", "-DOCSTART-")))


def gold(sentence, entity):
    """Where the segments of an entity lie."""
    stops = [sum(length for length, _ in sentence[: i + 1]) for i in range(len(sentence))]
    return [(stop - length, stop) for stop, (length, name) in zip(stops, sentence) if name == entity]


def merged(sentence):
    """Neighbours of one type as one segment, for IO cannot tell them apart."""
    return [(sum(length for length, _ in group), name) for name, group in groupby(sentence, key=lambda s: s[1])]


def tags_of(sentence, scheme):
    tags, before = [], None
    for length, name in sentence:
        tags += ["O"] * length if name is None else SCHEMES[scheme](length, name, name == before)
        before = name
    return tags


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=40)
@given(
    corpus=st.lists(segments, min_size=1, max_size=4),
    columns=st.sampled_from([[], ["NN"], ["NN", "B-NP"]]),
    separator=st.sampled_from(["\t", " ", "   "]),
    newline=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
    blank=st.sampled_from(["", " ", "\t", "\u3000", "\u200b", "\xa0\u2028"]),
    data=st.data(),
)
def test_written_and_read_back(file, scheme, corpus, columns, separator, newline, encoding, blank, data):
    tokens = [[data.draw(token) for length, _ in s for _ in range(length)] for s in corpus]
    tags = [tags_of(s, scheme) for s in corpus]
    rows = [[separator.join([t, *columns, g]) for t, g in zip(*pair)] for pair in zip(tokens, tags)]
    text = (newline + blank + newline).join(newline.join(lines) for lines in rows)
    sentences = conll.read(file(text.encode(encoding)))
    assert [s.tokens for s in sentences] == tokens
    assert [s.tags for s in sentences] == tags
    for sentence, written in zip(sentences, corpus):
        for name in TYPES:
            found = spans(sentence, name)
            assert found == gold(merged(written) if scheme == "IO" else written, name)
            assert inside(sentence, name) == [any(a <= i < b for a, b in found) for i in range(len(sentence.tags))]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O O", []),
        ("B-LOC B-LOC", [(0, 1), (1, 2)]),
        ("I-LOC I-LOC", [(0, 2)]),
        ("I-LOC B-LOC I-LOC O", [(0, 1), (1, 3)]),
        ("S-LOC S-LOC U-LOC U-LOC", [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ("B-LOC E-LOC B-LOC I-LOC E-LOC", [(0, 2), (2, 5)]),
        ("B-LOC L-LOC B-LOC L-LOC", [(0, 2), (2, 4)]),
        # a change of type ends a span, even between types that are both asked for
        ("B-LOC I-PER I-LOC", [(0, 1), (2, 3)]),
        ("B-LOC I-GPE", [(0, 1), (1, 2)]),
        ("B-LOC I-location", [(0, 2)]),
        # and what no scheme writes: nothing is lost, nothing joined across a closed end
        ("O E-LOC L-LOC I-LOC", [(1, 2), (2, 3), (3, 4)]),
        ("E-LOC I-LOC S-LOC I-LOC U-LOC I-LOC", [(i, i + 1) for i in range(6)]),
        ("B-LOC O I-LOC", [(0, 1), (2, 3)]),
    ],
)
def test_spans(tags, found):
    assert spans(tagged(tags)) == found


# types


@pytest.mark.parametrize(
    ("name", "entity", "same"),
    [
        *[(name, "LOC", True) for name in ["LOC", "loc", "Location", "LOCATION", "geo-loc", "place", "GPE"]],
        *[(name, "per", True) for name in ["PER", "person", "PERSON"]],
        *[(name, "Organisation", True) for name in ["ORG", "organization", "organisation", "corporation", "group"]],
        ("LOC", "location", True),
        ("LOC", "gpe", False),  # a kind of location, but not every location is one
        ("gpe", "GPE", True),
        ("group", "corporation", False),
        ("creative-work", "Creative-Work", True),
        ("creative-work", "creative", False),
        ("PER", "LOC", False),
        ("facility", "LOC", False),
    ],
)
def test_types(name, entity, same):
    assert inside(tagged(f"B-{name} O"), entity) == [same, False]
    assert spans(tagged(f"B-{name} O"), entity) == [(0, 1)] * same


def test_no_type_is_not_the_type_of_o():
    assert inside(tagged("O B-LOC"), "") == [False, False]


# forms


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (b"Rome B-LOC\n.\tO\n\n\n\nRome O\n\n", [["Rome", "."], ["Rome"]]),
        (b"\n\n \n\t\n\r\nRome B-LOC", [["Rome"]]),
        (b"Rome NNP I-NP I-LOC\r\n\r\nRome NNP I-NP I-LOC\r\n", [["Rome"], ["Rome"]]),
        (b"-DOCSTART- -X- O O\n\nRome O\n-DOCSTART-\nRome O\n-DOCSTART- (1)\n", [["Rome"], ["Rome"]]),
        (b"\xef\xbb\xbf-DOCSTART- O\nRome O", [["Rome"]]),
        (b"  Rome   NNP  B-LOC \nRome \t\tNNP\tO\t \n", [["Rome", "Rome"]]),
        (b"New York\tB-LOC\nIt\tB-creative work\n", [["New York", "It"]]),  # a tab separates, so a space does not
        ("10\u00a0000 O\n\u200b O\n\u3000\tO\na\u2028b\u0085c\x0bd O\n".encode(),
         [["10\u00a0000", "\u200b", "\u3000", "a\u2028b\u0085c\x0bd"]]),
        ("Rome O\n\u00a0\u200b\ufeff\u3000\nRome O\n\u0085\u2028\n\u200d O".encode(), [["Rome"], ["Rome"], ["\u200d"]]),
        (b"\\ O\n# O\n\" O\n", [["\\", "#", '"']]),
        # lines end at \r in files of old Macs; at \r\r\n where \r\n was taken for \n, and converted again
        (b"Not O\rall O\r\rParis B-LOC\r", [["Not", "all"], ["Paris"]]),
        (b"Not O\r\r\nall O\r\r\n\r\r\nParis B-LOC\r\r\n", [["Not", "all"], ["Paris"]]),
        (b"Not O\nall O\r\nRome O\rParis B-LOC", [["Not", "all", "Rome", "Paris"]]),
        # a tab separates where every line has one, also of one that ends in some
        (b"New York\tB-LOC\n\nin\tO\t\n", [["New York"], ["in"]]),
        (b"in\tO\nRome B-LOC\t\n", [["in", "Rome"]]),
        (b"Paris NNP\tB-LOC\nis VBZ O\n", [["Paris", "is"]]),
        (b"Rome\t\tO\nis\tbe\tO\n", [["Rome", "is"]]),
        # the first column numbers the tokens: GermEval without its inner tags, CoNLL-U, within documents
        (b"1\tParis\tB-LOC\n2\tist\tO\n\n1\tRom\tB-LOC\n", [["Paris", "ist"], ["Rom"]]),
        (b"1 EU NNP I-NP I-ORG\n2 in IN I-PP O\n", [["EU", "in"]]),
        (b"0\tParis\tB-LOC\n1\tist\tO\n\n2\t10\tO\n", [["Paris", "ist"], ["10"]]),
        # and does not
        (b"1 CD O\n\n1 CD O\n", [["1"], ["1"]]),
        (b"1 CD O\n1 CD O\n", [["1", "1"]]),
        (b"1984 CD O\n1985 CD O\n", [["1984", "1985"]]),
        (b"1 CD O\n2 CD O\n\nRome NNP B-LOC\n", [["1", "2"], ["Rome"]]),
        (b"1 O\n2 B-LOC\n", [["1", "2"]]),
        # tags of chunks, and what merely looks like a tag
        (b"Rome NNP B-NP B-LOC\nis VBZ B-VP O\n", [["Rome", "is"]]),
        (b"Rome NNP B-NP O\nis VBZ B-VP O\n", [["Rome", "is"]]),
        (b"Rome I-x B-LOC\nis VBZ O\n", [["Rome", "is"]]),
        (b"Rome O B-LOC\nis O O\n", [["Rome", "is"]]),
    ],
)  # fmt: skip
def test_forms(file, data, tokens):
    assert [s.tokens for s in conll.read(file(data))] == tokens


def test_a_path_may_be_a_string(file):
    assert conll.read(str(file(b"Rome B-LOC"))) == [Sentence(["Rome"], ["B-LOC"])]


# errors


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"a O\nRome\n", 2, "needed a token and a tag, got 'Rome'; give each token its tag"),
        (b"a O\r\n\r\nRome\tO\r\n\tO\r\n", 4, r"needed a token and a tag, got '\tO'; give each token its tag"),
        (b"\tNNP\tO", 1, r"needed a token and a tag, got '\tNNP\tO'"),
        (b"Rome B-LOC NNP", 1, "needed a tag like O, B-LOC or I-LOC, got 'NNP' in 'Rome B-LOC NNP'; put the token"),
        *[
            (f"Rome\t{tag}\n".encode(), 1, f"needed a tag like O, B-LOC or I-LOC, got {tag!r} in ")
            for tag in ["o", "B", "B-", "-LOC", "LOC", "X-LOC", "b-LOC", "BLOC", "OO", "O-LOC", "B LOC"]
        ],
        # further schemes, and several tags in one
        *[
            (f"a\tO\nRome\t{tag}\n".encode(), 2, f"got {tag!r} in 'Rome\\t{tag}'; {remedy}")
            for tag, remedy in [
                ("M-LOC", "write I- in place of M-"),
                *[(tag, "add the type of the entity") for tag in "BIESM"],
                *[(f"B-LOC{c}B-PER", "leave one tag") for c in ["|", "/", ",", ";", "+", " ", ", ", "&"]],
                ("B-LOC|PER", "leave one tag"),
                ("B-LOC,O", "leave one tag"),
                ("I-LOC/M-PER", "leave one tag"),
                ("B-", "leave one tag"),
                ("O|B-LOC", "put the token into the first column"),
            ]
        ],
        # comments
        (b"# text = item O\nParis B-LOC\n", 1, "got '# text = item O'; remove the comments"),
        (b"# sent_id = 1\nParis B-LOC\n", 1, "got '# sent_id = 1'; remove the comments"),
        (b"#\thttp://a.b/c\n1\tParis\tB-LOC\tO\n", 1, r"in '#\thttp://a.b/c'; remove the comments"),
        (b"#comment\nParis B-LOC\n", 1, "got '#comment'; remove the comments"),
        (b"Paris B-LOC\n# item O\n", 2, "needed 2 columns as before, got 3 in '# item O'; remove comments"),
        (b"Paris NNP B-LOC\n\n#item O\n", 3, "needed 3 columns as before, got 2 in '#item O'"),
        # separators that are not the same throughout
        (b"It\tO\nNew York B-LOC\n", 2, "needed 2 columns as before, got 3 in 'New York B-LOC'; remove comments, and "),
        (b"New York\tB-LOC\nin O\n", 2, "needed 3 columns as before, got 2 in 'in O'"),
        (b"Rome\tO\nis\t\tO\n", 2, "needed 2 columns as before, got 3 in"),
        (b"1\tRome\tO\n2\t\tO\n", 2, r"needed a token and a tag, got '2\t\tO'; give each tag its token"),
        *[(f"a O\nRome\tB-LOC{c}\n".encode(), 2, f"got {'B-LOC' + c!r} in ") for c in "\u00a0\u200b\u2028\u0085"],
        (b"a O\ncaf\xe9 O\n", 2, r"needed UTF-8, got the bytes b'caf\xe9 O'; save the file as UTF-8"),
        ("Rome O".encode("utf-16"), 1, "needed UTF-8, got the bytes"),
    ],
)
def test_malformed(file, data, line, said):
    path = file(data)
    with pytest.raises(ValueError, match=re.escape(f"{path}:{line}: needed")) as caught:
        conll.read(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"1\tParis\tB-LOC\tO\n2\tist\tO\tO\n", "loc in column 3 of 4 too"),
        (b"1\tParis\tB-LOC\tB-PER\n2\tist\tB-PER\tO\n", "loc, per in column 3 of 4 too"),
        (b"Paris\tB-LOC\tO\n\nist\tO\tO\n", "loc in column 2 of 3 too"),
        (b"Paris NNP B-LOC I-LOC\nis VBZ O O\n", "loc in column 3 of 4 too; remove all but the column to learn"),
        (b"Paris NNP B-GPE I-PER I-gpe\nis VBZ O O O\n", "gpe in column 3 of 5 too"),
    ],
)
def test_several_columns_of_entity_tags(file, data, said):
    """Inner entities, or predictions beside the truth: nothing tells which column is meant."""
    path = file(data)
    with pytest.raises(ValueError, match=re.escape(f"{path}: needed one column of entity tags, got {said}")):
        conll.read(path)


def test_spaces_between_some_columns_and_tabs_between_others(file):
    path = file(b"Paris NNP\tB-LOC\nis VBZ\tO\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}: needed columns separated by tabs or by spaces, got both")):
        conll.read(path)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")))
def test_text_is_split_where_columns_are(file, text):
    """Each token of a line of text, given a tag, is read as that token."""
    tokens = conll.split(text)
    assert "".join(tokens) == re.sub("[ \t\r\n]", "", text) or not tokens
    tokens = [token for token in tokens if not token.startswith("-DOCSTART-") and token != "#"]
    visible = [token for token in tokens if conll.split(token)]
    if visible:
        (sentence,) = conll.read(file("\n".join(f"{token} O" for token in visible).encode()))
        assert sentence.tokens == visible


@pytest.mark.parametrize("text", ["", " \t\n", "\u00a0", "\u200b \u3000\n"])
def test_text_without_anything_visible_has_no_tokens(text):
    assert conll.split(text) == []


def test_a_long_line_does_not_flood_the_screen(file):
    for data in (b"x" * 10**6, b"\xff" * 10**6, b"x " + b"y" * 10**6):
        with pytest.raises(ValueError) as caught:
            conll.read(file(data))
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"-DOCSTART- O\n\n"])
def test_no_sentence(file, data):
    path = file(data)
    with pytest.raises(ValueError, match=re.escape(f"{path}: needed at least one sentence, got none; is it the right")):
        conll.read(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        conll.read(tmp_path / "none.conll")


# the embedded corpus


def test_embedded():
    train, dev = conll.embedded("train"), conll.embedded("dev")
    assert (len(train), len(dev)) == (400, 100)
    assert len({" ".join(s.tokens).lower() for s in train + dev}) == 500  # none twice, and none in both
    for part in train, dev:
        assert sum(any(inside(s)) for s in part) >= 0.4 * len(part)
        assert sum(not any(inside(s)) for s in part) >= 0.2 * len(part)
        for before, tag in ((b, t) for s in part for b, t in zip(["O", *s.tags], s.tags)):
            assert tag in ("O", "B-LOC") or (tag == "I-LOC" and before != "O")  # IOB2


def test_most_places_of_dev_are_known_from_train():
    train, dev = (
        [" ".join(s.tokens[a:b]).lower() for s in conll.embedded(part) for a, b in spans(s)]
        for part in ("train", "dev")
    )
    assert (len(train), len(dev)) == (381, 98)
    assert 0.6 < sum(place in set(train) for place in dev) / len(dev) < 1


def test_embedded_is_written_plainly():
    for part in "train", "dev":
        text = (Path(conll.__file__).parent / "corpus" / f"{part}.conll").read_bytes().decode()
        assert re.fullmatch(r"((\S+ (O|[BI]-LOC)\n)+\n)*(\S+ (O|[BI]-LOC)\n)+", text)


def test_embedded_has_two_parts():
    with pytest.raises(ValueError, match=r"embedded needs 'train' or 'dev', got 'test'; to read a file, see read"):
        conll.embedded("test")


def test_a_line_that_repeats_is_looked_at_once(file, monkeypatch):
    seen, columns = [], conll._columns
    monkeypatch.setattr(conll, "_columns", lambda text, *rest: seen.append(text) or columns(text, *rest))
    read = conll.read(file(b"the O\nsea O\n\nthe O\nsea O\nRome B-LOC\n"))
    assert [s.tokens for s in read] == [["the", "sea"], ["the", "sea", "Rome"]]
    assert seen == ["the O", "sea O", "Rome B-LOC"]
    read[0].tokens.append("x")
    assert read[1].tokens == ["the", "sea", "Rome"]
    with pytest.raises(ValueError, match=r"some.conll:4: needed a tag"):
        conll.read(file(b"the O\n\nthe O\nRome LOC\nthe O\nRome LOC\n"))


# real corpora: the counts agree with awk's, and the spans of IOB2 with its Bs


@pytest.mark.parametrize(
    ("name", "sentences", "tokens", "found"),
    [
        ("wikigold.conll", 1696, 39007, {"LOC": 1014, "PER": 934, "ORG": 898, "MISC": 712}),
        ("wnut17.train.conll", 3394, 62730, {"LOC": 548, "PER": 660, "ORG": 221 + 264, "product": 142}),
        ("wnut17.dev.conll", 1009, 15733, {"LOC": 74, "PER": 470, "ORG": 34 + 39, "creative-work": 105}),
    ],
)
def test_real(shared_data, name, sentences, tokens, found):
    path = shared_data / name
    corpus = conll.read(path)
    assert (len(corpus), sum(len(s.tokens) for s in corpus)) == (sentences, tokens)
    assert {entity: sum(len(spans(s, entity)) for s in corpus) for entity in found} == found
    starts = len(re.findall(rb"\tB-location$", path.read_bytes(), flags=re.MULTILINE))
    assert starts in (0, found["LOC"])  # WikiGold is IO and has none
