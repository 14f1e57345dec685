"""Names that are attacks, or only odd: written raw, each would run code, leave its place or break a format."""

import ast
import enum
import re

from hypothesis import strategies as st

EXECUTED: list[str] = []  # by the names below, where one of them was run

CALL = "__import__('hostile').EXECUTED.append('run')"
LINK = '<table href="javascript:alert(1)"><tr><td>x</td></tr></table>'

#: Each ends or escapes something: an argument, a string, a line, a comment, a format, a tag.
ATTACKS = [
    CALL,
    f"a={CALL}",
    f"a, b=[{CALL}]",
    f"a):\n    {CALL}\n\ndef g(b",
    f"a; {CALL}",
    f"'] + [{CALL}] + ['",
    f'"] + [{CALL}] + ["',
    f"\\'] + [{CALL}]#",
    f"#\n{CALL}\n#",
    f"#\r{CALL}",
    f"\n@{CALL}",
    f'"""\n{CALL}\n"""',
    f"{{{CALL}}}",
    f"(lambda: {CALL})()",
    f"[{CALL} for _ in (1,)]",
    "{0.__class__.__mro__}",
    "{g!r:>1000}",
    "%s%n",
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "<svg onload='window.hacked = 1'>",
    LINK,
    f"z_</b>{LINK}<b>",
    "<pad>",
    "<b>+</b>",
    "]]>",
    "-->",
    "&lt;b&#62;&nbsp;",
    r"\N\G\L\E\T\H\l",
    "\\",
    'a"b',
    '\\"] t9 [URL="javascript:alert(1)',
    "\x1b[31mred\x1b]0;title\x07",
    "\x00",
    "a\nb\rc\x0b\x0c\x85\u2028\u2029",
    "\ud800",
    "\u202egnp.exe",
    "x" * 5000,
    "[/b][bold]:smile:",
]

#: No attacks, but no names either, or not the names that they seem, or names that the source needs for itself.
ODD = [
    "learning-rate",
    "class",
    "lambda",
    "None",
    "µ",
    "μ",
    "ﬁ",
    "fi",
    "ſ",
    "²",
    "5",
    "a b",
    "",
    " ",
    "\t",
    "🙂",
    "a:b:c",
]
ODD += ["np", "bool", "getattr", "_0", "_1", "_c0", "_loop0", "_rows", "__debug__", "__builtins__", "__import__"]
ODD += ["self", "f", "x", "args", "kwargs", "match", "type", "delta", "total", "gradient", "node", "strict"]

NAMES = [*ATTACKS, *ODD]


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 7


class Treacherous(str):
    """A string that is shown as code."""

    def __repr__(self) -> str:
        return CALL

    __str__ = __format__ = __repr__  # type: ignore[assignment]


#: Keys of dicts; None of them may be read as another.
KEYS = [
    *NAMES,
    5,
    5.5,
    float("inf"),
    None,
    True,
    (1, "a'"),
    (Colour.RED,),
    Colour.RED,
    Level.HIGH,
    b"'",
    frozenset({1}),
]
KEYS += [Treacherous("a"), object(), len, int]

#: Any text at all, and an attack inside it.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12) | st.builds(
    "{}{}{}".format, st.text("'\"\\\n\r#{}<>&; \x00\x1b", max_size=4), st.just(CALL), st.text("'\"\\\n)#", max_size=4)
)


def assert_shown(text: str) -> None:
    """A text may go to a terminal: it moves no cursor, and reverses no writing."""
    for line in re.split("\n", text):
        assert line.replace("\t", " ").isprintable(), ascii(line)


def assert_plain(source: str) -> None:
    """Source calls nothing but NumPy, its own functions, methods, and the few builtins that it needs."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Import | ast.ImportFrom | ast.Lambda | ast.JoinedStr)
        if isinstance(node, ast.FunctionDef):
            assert not (node.decorator_list or node.args.defaults or node.args.kw_defaults)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id in {*own, "getattr", "slice", "complex", "float", "int", "bool"}, node.func.id
