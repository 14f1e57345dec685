r"""How a formula is set: rows, fractions, scripts and fences, printed as a line of text, as LaTeX and as MathML.

Text from outside enters a formula as a `Word` alone, and each printer passes it through its gate in `minigrad.text`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from minigrad.text import Markup, TeX, joined, markup, printable, tex

#: How strongly an expression holds together; inside one that binds more strongly it goes in brackets.
RELATION, SUM, REDUCTION, HADAMARD, PRODUCT, ATOM = range(6)


@dataclass(frozen=True)
class Formula:
    """A part of a formula."""


@dataclass(frozen=True)
class Word(Formula):
    """A variable ("italic"), a word ("upright"), a "function", a "number", a "sign", source ("code"), or a "text"."""

    text: str
    style: str = "italic"


@dataclass(frozen=True)
class Row(Formula):
    """Parts side by side."""

    parts: tuple[Formula, ...]
    binds: int = ATOM


@dataclass(frozen=True)
class Fraction(Formula):
    above: Formula
    below: Formula


@dataclass(frozen=True)
class Script(Formula):
    """A base with an index below it, an exponent above it, or both."""

    base: Formula
    below: Formula | None = None
    above: Formula | None = None


@dataclass(frozen=True)
class Name(Script):
    """A name that is set as a base with an index; as code it is the text that it was."""

    text: str = ""


@dataclass(frozen=True)
class Shaped(Formula):
    """A factor with its shape below it, which MathML alone shows."""

    factor: Formula
    shape: str


@dataclass(frozen=True)
class Root(Formula):
    inside: Formula


@dataclass(frozen=True)
class Fenced(Formula):
    inside: Formula
    left: str = "("
    right: str = ")"


@dataclass(frozen=True)
class Cases(Formula):
    """One value where a condition holds, and another one elsewhere."""

    where: Formula
    value: Formula
    otherwise: Formula


@dataclass(frozen=True)
class Equations(Formula):
    """Lines, aligned at the sign between the two sides; a line of one side is a statement."""

    lines: tuple[tuple[Formula, ...], ...]  # of each line: its sides, with the signs between them


SPACE = Word(" ", "sign")  # between a number and what it scales
TIMES = Word("@", "sign")  # between the factors of a product of matrices
COMMA = Word(",", "sign")
MINUS = Word("−", "sign")

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "ϕ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
COMMANDS = {character: f"\\{name}" for name, character in GREEK.items()}

#: Signs in LaTeX.
SIGNS = {
    "∘": r"\circ", "−": "-", "·": r"\cdot", "∑": r"\sum", "∏": r"\prod", "∂": r"\partial", "⊤": r"\top", "≥": r"\ge",
    "≤": r"\le", "≠": r"\ne", "∧": r"\land", "∨": r"\lor", "¬": r"\lnot", "←": r"\leftarrow", "∞": r"\infty",
    "{": r"\{", "}": r"\}", " ": r"\,", "@": r"\,", "⌊": r"\lfloor", "⌋": r"\rfloor", "⟨": r"\langle", "⟩": r"\rangle",
    "𝟏": r"\mathbf{1}", "∈": r"\in",
    "⌈": r"\lceil", "⌉": r"\rceil",
}  # fmt: skip
LATEX_FUNCTIONS = {
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "arctan",
    "arcsin",
    "arccos",
    "max",
    "min",
}
SUPERSCRIPTS = str.maketrans("0123456789⊤()", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ⁽⁾")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def binding(x: Formula) -> int:
    """How strongly a part holds together."""
    if isinstance(x, Shaped):
        return binding(x.factor)
    return x.binds if isinstance(x, Row) else RELATION if isinstance(x, Cases) else ATOM


def fenced(x: Formula, strength: int) -> Formula:
    """A part, in brackets where it binds less strongly."""
    return x if binding(x) >= strength else Fenced(x)


def is_quotient(x: Formula) -> bool:
    """Is it a fraction that divides? The derivative ∂J/∂W is one symbol."""
    return isinstance(x, Fraction) and not (isinstance(x.above, Row) and x.above.parts[:1] == (Word("∂", "sign"),))


def atom(x: Formula) -> Formula:
    """A part that an index or an exponent can be written at: a variable or a function, else in brackets."""
    return x if isinstance(x, Word | Fenced) else Fenced(x)


def words(x: Formula) -> set[str]:
    """The texts of the variables and indices in a formula."""
    if isinstance(x, Word):
        return {x.text} if x.style in ("italic", "upright") else set()
    found = (getattr(x, key) for key in x.__dataclass_fields__)
    parts = [e for field in found for e in (field if isinstance(field, tuple) else (field,))]
    return set().union(*(words(part) for part in parts if isinstance(part, Formula)))


# names


def name(text: str) -> Formula:
    """A name as a symbol: its last digits and what follows an underscore are an index, a Greek name is a letter.

    >>> [plain(name(word)) for word in ("s_c", "z1", "delta_c", "loss", "W_12", "x_")]
    ['s_c', 'z₁', 'δ_c', 'loss', 'W₁₂', 'x_']
    """
    match = re.fullmatch(r"([^\W\d_]+)(\d*)((?:_[^\W_]+)*)", text)
    if not match:
        return Word(text, "code")
    base, digits, rest = match.groups()
    indices = [digits] * bool(digits) + rest.split("_")[1:]
    below = [_word(index) for index in indices]
    if not below:
        return _word(base)
    between: list[Formula] = [below[0]]
    for index in below[1:]:
        between += [COMMA, index]
    return Name(_word(base), between[0] if len(between) == 1 else Row(tuple(between)), text=text)


def _word(text: str) -> Word:
    if text.isdigit():
        return Word(text, "number")
    return Word(GREEK.get(text, text), "italic" if len(text) == 1 or text in GREEK else "upright")


# text


CODE = " @ "  # the sign of a product of matrices in source, where names are as they were


def plain(x: Formula, times: str = " ") -> str:
    """A formula on one line, as pictures show it.

    Args:
        times: the sign of a matrix product.

    >>> print(plain(Row((Word("δ"), SPACE, Script(Word("x"), above=Word("⊤", "sign"))), PRODUCT)))
    δ xᵀ
    """
    match x:
        case Word("@", "sign"):
            return times
        case Word(text, "sign"):
            return (
                f" {text} "
                if text in "∘+·−=<>≥≤≠←∧∨∈" or text == "+="
                else ", "
                if text == ","
                else text.replace("⊤", "ᵀ").replace("∑", "Σ").replace("𝟏", "1")
            )
        case Word(text):
            return printable(text)
        case Row(parts, binds):
            factors = binds in (HADAMARD, PRODUCT)
            texts = [
                f"({plain(part, times)})" if factors and is_quotient(part) else plain(part, times) for part in parts
            ]
            if parts and parts[0] == Word("−", "sign"):
                texts[0] = "−"
            return (" " if binds == REDUCTION and parts[1:2] != (SPACE,) else "").join(texts)
        case Fraction(above, below) if not is_quotient(x):
            return f"{plain(above, times)}/{plain(below, times)}"
        case Fraction(above, below):
            over, under = plain(above, times), plain(below, times)
            over = f"({over})" if binding(above) <= REDUCTION else over
            return f"{over} / {f'({under})' if binding(below) < ATOM or isinstance(below, Fraction) else under}"
        case Name(text=text) if times == CODE:
            return printable(text)
        case Shaped(factor):
            return plain(factor, times)
        case Script(base, below, above):
            text = plain(base, times)
            text = f"({text})" if isinstance(base, Fraction) else text
            if below is not None:
                index = plain(below, "")
                text += index.translate(SUBSCRIPTS) if index.isdigit() else f"_{index.replace(', ', ',')}"
            if above is not None:
                power = plain(above).removeprefix(" ∘ ")
                if isinstance(above, Fenced) or power.isdigit() or power == "ᵀ":
                    text += "^∘" * (plain(above) != power) + power.translate(SUPERSCRIPTS)
                else:
                    text += "^∘" if plain(above) != power else "^"
                    text += power if _is_short(above) else f"({power})"
            return text
        case Root(inside):
            return f"√{plain(fenced(inside, ATOM), times)}"
        case Fenced(inside, left, right):
            return f"{left}{plain(inside, times)}{right}"
        case Cases(where, value, otherwise):
            return f"{plain(value, times)} where {plain(where, times)}, else {plain(otherwise, times)}"
        case Equations(lines):
            return "\n".join("".join(plain(side, times) for side in line) for line in lines)
    raise TypeError(type(x))


def _is_short(x: Formula) -> bool:
    return isinstance(x, Word)


# LaTeX


def latex(x: Formula) -> TeX:
    r"""A formula in LaTeX's mathematics mode.

    >>> print(latex(Fraction(Word("s"), Script(Word("W"), Word("2", "number")))))
    \frac{s}{W_{2}}
    """
    match x:
        case Word(text, "sign"):
            return TeX(SIGNS.get(text, text))
        case Word(text, "number"):
            return TeX(SIGNS.get(text, text.replace("−", "-").replace("×", r" \times ")))
        case Word(text, "italic"):
            return TeX(COMMANDS.get(text, text)) if _is_letter(text) else tex(r"\mathrm{{{}}}", text)
        case Word(text, "function"):
            if text in COMMANDS:
                return TeX(COMMANDS[text])
            return TeX(f"\\{text}") if text in LATEX_FUNCTIONS else tex(r"\operatorname{{{}}}", text)
        case Word(text, "text"):
            return tex(r"\text{{{}}}", text)
        case Word(text, style):
            return tex(r"\texttt{{{}}}" if style == "code" else r"\mathrm{{{}}}", text)
        case Row(parts):
            return TeX(" ".join(map(latex, parts)))
        case Fraction(above, below):
            return TeX(rf"\frac{{{latex(above)}}}{{{latex(below)}}}")
        case Shaped(factor):
            return latex(factor)
        case Script(base, below, above):
            low = f"_{{{latex(below)}}}" if below is not None else ""
            high = f"^{{{latex(above)}}}" if above is not None else ""
            return TeX(f"{latex(base)}{low}{high}")
        case Root(inside):
            return TeX(rf"\sqrt{{{latex(inside)}}}")
        case Fenced(inside, left, right):
            return TeX(rf"\left{SIGNS.get(left, left)} {latex(inside)} \right{SIGNS.get(right, right)}")
        case Cases(where, value, otherwise):
            rows = rf"{latex(value)} & {latex(where)} \\ {latex(otherwise)} & \text{{otherwise}}"
            return TeX(rf"\begin{{cases}} {rows} \end{{cases}}")
        case Equations(lines):
            set_lines = [_aligned(*(latex(side) for side in line)) for line in lines]
            return TeX("\\begin{aligned}\n" + " \\\\\n".join(set_lines) + "\n\\end{aligned}")
    raise TypeError(type(x))


def _is_letter(text: str) -> bool:
    return text in COMMANDS or (len(text) == 1 and text.isascii() and text.isalpha())


def _aligned(first: str, *rest: str) -> str:
    return " ".join([first, *([f"&{rest[0]}", *rest[1:]] if rest else [])])


# MathML


def mathml(x: Formula) -> Markup:
    """A formula as MathML Core, which browsers set without any script or network; `elements` is the inside of it.

    >>> print(mathml(Script(Word("s"), Word("c"))))
    <math display="block"><msub><mi>s</mi><mi>c</mi></msub></math>
    """
    return markup('<math display="block">{}</math>', elements(x))


def elements(x: Formula) -> Markup:
    match x:
        case Word(" " | "@", "sign"):
            return markup('<mo rspace=".22em">\u2062</mo>')
        case Word("𝟏", "sign"):
            return markup("<mi>𝟏</mi>")
        case Word("⊤", "sign"):
            return markup("<mi>⊤</mi>")
        case Word(text, "sign"):
            return markup("<mo>{}</mo>", text)
        case Word(text, "number"):
            return markup("<mn>{}</mn>", text)
        case Word(text, "italic"):
            return markup("<mi>{}</mi>", text)
        case Word(text, "text"):
            return markup("<mtext>{}</mtext>", text)
        case Word(text, "code"):
            return markup('<mtext style="font-family: monospace">{}</mtext>', text)
        case Word(text):  # of several letters, a browser sets it upright by itself
            return markup("<mi>{}</mi>" if len(text) > 1 else '<mi mathvariant="normal">{}</mi>', text)
        case Row((part,)):
            return elements(part)
        case Row():
            return markup("<mrow>{}</mrow>", joined(map(elements, flat(x))))
        case Fraction(above, below):
            return markup("<mfrac>{}{}</mfrac>", elements(above), elements(below))
        case Shaped(factor, shape):
            return markup("<munder>{}<mtext>{}</mtext></munder>", elements(factor), shape)
        case Script(base, below, above):
            big = base in (Word("∑", "sign"), Word("∏", "sign"), Word("max", "function"), Word("min", "function"))
            kinds = {(True, False): "munder" if big else "msub", (False, True): "msup", (True, True): "msubsup"}
            kind = Markup(kinds[below is not None, above is not None])
            scripts = joined(elements(part) for part in (below, above) if part is not None)
            return markup("<{}>{}{}</{}>", kind, elements(base), scripts, kind)
        case Root(inside):
            return markup("<msqrt>{}</msqrt>", elements(inside))
        case Fenced(inside, left, right):
            size = Markup("" if _is_tall(inside) else ' stretchy="false"')
            fence = "<mrow><mo{}>{}</mo>{}<mo{}>{}</mo></mrow>"
            return markup(fence, size, left, joined(map(elements, flat(inside))), size, right)
        case Cases(where, value, otherwise):
            row = "<mtr>" + "<mtd>{}</mtd>" * 2 + "</mtr>"
            first = markup(row, elements(value), elements(where))
            last = markup(row, elements(otherwise), markup("<mtext>{}</mtext>", "otherwise"))
            table = joined([first, last])
            return markup('<mrow><mo fence="true" form="prefix">{{</mo><mtable>{}</mtable></mrow>', table)
        case Equations(lines):
            return markup('<mtable displaystyle="true">{}</mtable>', joined(map(_line, lines)))
    raise TypeError(type(x))


def flat(x: Formula) -> list[Formula]:
    """The parts of rows within rows; one that begins with a minus is a row of its own, or the minus would subtract."""
    if not isinstance(x, Row):
        return [x]
    return [e for i, part in enumerate(x.parts) for e in ([part] if i and leading(part) == MINUS else flat(part))]


def leading(x: Formula) -> Formula:
    """The part that a formula begins with."""
    while isinstance(x, Row | Script | Shaped) and x != Row(()):
        x = x.parts[0] if isinstance(x, Row) else x.factor if isinstance(x, Shaped) else x.base
    return x


def _is_tall(x: Formula) -> bool:
    """Does a part need tall brackets? Without a font for mathematics a browser's are far too tall for a letter."""
    match x:
        case Word():
            return False
        case Row(parts):
            return any(map(_is_tall, parts))
        case Shaped(factor):
            return _is_tall(factor)
        case Script(base, _, above):
            return _is_tall(base) or (above is not None and _is_tall(above))
        case Fenced(inside):
            return _is_tall(inside)
    return True


def _line(line: tuple[Formula, ...]) -> Markup:
    """A line of several equations: what stands before the first sign, and the rest."""
    first = markup('<mtd style="text-align:right;padding:.25em 0">{}</mtd>', elements(line[0]))
    rest = markup('<mtd style="text-align:left;padding:.25em 0">{}</mtd>', joined(map(elements, line[1:])))
    return markup("<mtr>{}{}</mtr>", first, rest)
