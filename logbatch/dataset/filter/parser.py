"""The syntax of a filter text: from characters to a tree.

either = all {or all}
all    = one {[and] one}
one    = not one | [-] term | [-] ( either )
term   = word | name operator value {, value} | name=* | name~/expression/
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from logbatch.dataset.filter.comparisons import CONTAINS, EQUALITIES, HAS, MATCHES, OPERATORS
from logbatch.dataset.filter.terms import Mistake, make_term
from logbatch.dataset.filter.tree import EVERYTHING, NAME, Node, Term, all_of, any_of, negate
from logbatch.errors import FilterError

SIGNS = re.compile(r"[=<>~][=<>~!]*|!(?=[=<>~])[=<>~!]*")
COMMA = re.compile(",")
_KEYWORD = re.compile(r"(and|or|not)(?=[\s()]|$)", re.IGNORECASE)
_EXPRESSION = re.compile(r"/((?:[^\\/]|\\.)*)/", re.DOTALL)
_OTHER_KEYWORDS = {"&&": "and", "&": "and", "||": "or", "|": "or"}
_WRITTEN = [sign for sign in OPERATORS if sign not in (MATCHES, HAS)]
QUOTES = "\"'"
_DEPTH = 50  # parentheses inside one another, so that neither reading nor asking goes too deep


def parse(text: str, now: datetime) -> Node:
    """Read a filter text.

    Args:
        text: The text; without any term it is EVERYTHING.
        now: What durations are counted back from.

    Raises:
        FilterError: The text has a mistake; the error points at it.
    """
    return _Parser(text, now).parse()


class _Word(NamedTuple):
    """A piece of a filter text: where it begins and ends, and its meaning."""

    start: int
    stop: int
    text: str
    quoted: bool


class _Parser:
    """Reads a filter text from left to right."""

    def __init__(self, text: str, now: datetime) -> None:
        self.text = text
        self.now = now
        self.at = 0
        self.depth = 0
        self.bare = False  # whether the last term was a word without a sign

    def parse(self) -> Node:
        if not self._skip_spaces():
            return EVERYTHING
        found = self._either()
        if self.at < len(self.text):
            raise self._error("this ) closes nothing; quote a text that contains )", self.at)
        return found

    def _error(self, reason: str, position: int) -> FilterError:
        return FilterError(reason, self.text, position)

    def _next(self) -> str:
        """Return the next character; an empty text at the end."""
        return self.text[self.at : self.at + 1]

    def _skip_spaces(self) -> bool:
        while self._next().isspace():
            self.at += 1
        return self.at < len(self.text)

    def _at_end(self) -> bool:
        """Return whether a term ends here."""
        return not self._next() or self._next().isspace() or self._next() == ")"

    def _keyword(self) -> str:
        """Return the keyword that comes next, in lower case; an empty text if none does."""
        found = _KEYWORD.match(self.text, self.at)
        return found[0].lower() if found else ""

    def _either(self) -> Node:
        branches = [self._all()]
        while self._keyword() == "or":
            start = self.at
            self._skip_keyword()
            branches.append(self._all(start))
        return any_of(branches)

    def _all(self, after: int | None = None) -> Node:
        """Read terms that must all hold; `after` is where the keyword before them is, if any."""
        nodes: list[Node] = []
        while self._skip_spaces() and self._next() != ")" and self._keyword() != "or":
            if self._keyword() == "and" and nodes:
                self._skip_conjunction()
            nodes.append(self._one())
        if not nodes:
            raise (
                self._missing("before", self.at) if after is None else self._missing("after", after)
            )
        return all_of(nodes)

    def _skip_keyword(self) -> str:
        """Skip a keyword, and return it as it is written."""
        start = self.at
        self.at += len(self._keyword())
        return self.text[start : self.at]

    def _skip_conjunction(self) -> None:
        """Skip a keyword that a term must come after."""
        start = self.at
        self._skip_keyword()
        if not self._skip_spaces() or self._next() == ")" or self._keyword() in ("and", "or"):
            raise self._missing("after", start)

    def _missing(self, side: str, position: int) -> FilterError:
        """Return the error for a keyword, or a ), that lacks a term on one side."""
        self.at = position
        if self._next() == ")":
            return self._error("there is no term before this )", position)
        keyword = self._skip_keyword()
        reason = f'there is no term {side} this {keyword}; "{keyword}" in quotes is text'
        return self._error(reason, position)

    def _one(self) -> Node:
        keyword = self._keyword()
        if keyword == "and":
            raise self._missing("before", self.at)
        if keyword == "not":
            return self._not()
        start = self.at
        negated = self._next() == "-"
        self.at += negated
        if negated and (self._at_end() or self._next() == "-"):
            raise self._error("- must come right before a term, once", start)
        found = self._group() if self._next() == "(" else self._term()
        return negate(found) if negated else found

    def _not(self) -> Node:
        start = self.at
        written = self.text[start : start + len("not")]
        self._skip_conjunction()
        self._enter(start)
        found = self._one()
        self.depth -= 1
        if written != "NOT" and self.bare:
            reason = f'{written} before a word may be text: write "{written}", or NOT to negate'
            raise self._error(reason, start)
        return negate(found)

    def _enter(self, start: int) -> None:
        self.depth += 1
        if self.depth > _DEPTH:
            raise self._error(f"this is more than {_DEPTH} parentheses deep", start)

    def _group(self) -> Node:
        start = self.at
        self._enter(start)
        self.at += 1
        closed = self._skip_spaces()
        found = self._either() if closed else EVERYTHING
        if self._next() != ")":
            raise self._error("this ( is not closed; quote a text that contains (", start)
        self.at += 1
        self.depth -= 1
        self.bare = False
        if not self._at_end():
            raise self._error("a space is missing after )", self.at)
        return found

    def _term(self) -> Node:
        word = self._word(SIGNS)
        self.bare = self._at_end()
        if self.bare:
            self._check_bare(word)
            return self._make(word, CONTAINS, [word], name="message")
        operator = self._operator(word)
        if operator.text == CONTAINS and self._next() == "/":
            return self._make(word, MATCHES, [self._expression()], sign=operator)
        if self._at_end():
            reason = f'the value after {word.text}{operator.text} is missing ("" is an empty one)'
            raise self._error(reason, self.at)
        if operator.text not in EQUALITIES:
            return self._make(word, operator.text, [self._value(None)], sign=operator)
        values = self._values()
        star = next((value for value in values if value.text == "*" and not value.quoted), None)
        if star is None:
            return self._make(word, operator.text, values, sign=operator)
        if len(values) > 1:
            raise self._error('* alone stands for any value; "*" in quotes is text', star.start)
        found = self._make(word, HAS, [], sign=operator)
        return found if operator.text == "=" else negate(found)

    def _check_bare(self, word: _Word) -> None:
        """Check that a word which is to be text does not look like more than that."""
        if word.quoted:
            return
        meant = _OTHER_KEYWORDS.get(word.text)
        if meant or _KEYWORD.fullmatch(word.text):
            hint = f"write {meant}; " if meant else ""
            raise self._error(f'{hint}"{word.text}" in quotes is text', word.start)

    def _values(self) -> list[_Word]:
        values = [self._value(COMMA)]
        while self._next() == ",":
            self.at += 1
            values.append(self._value(COMMA))
        for value in values:
            if value.start == value.stop:
                reason = 'a value is missing beside the comma; "," in quotes is text'
                raise self._error(reason, value.start)
        if len(values) > 1 and not values[0].quoted and values[0].text[0] in "[{":
            raise self._error("quote a list or an object that has commas", values[0].start)
        return values

    def _value(self, stop: re.Pattern[str] | None) -> _Word:
        value = self._word(stop)
        if not self._at_end() and not (stop and stop.match(self.text, self.at)):
            raise self._error("a space is missing after the closing quote", self.at)
        return value

    def _word(self, stop: re.Pattern[str] | None) -> _Word:
        """Read a word in quotes, or up to a space, a ) or what is to stop it."""
        start = self.at
        if self._next() and self._next() in QUOTES:
            return self._quoted(start)
        piece = []
        while not self._at_end() and not (stop and stop.match(self.text, self.at)):
            if self._next() == "(":
                raise self._error("quote a text that contains (", self.at)
            piece.append(self._character())
        escaped = "\\" in self.text[start : self.at]
        return _Word(start, self.at, "".join(piece), quoted=escaped)

    def _quoted(self, start: int) -> _Word:
        quote = self.text[start]
        self.at += 1
        piece = []
        while self.at < len(self.text) and self.text[self.at] != quote:
            piece.append(self._character())
        if self.at == len(self.text):
            raise self._error(f"this {quote} is not closed", start)
        self.at += 1
        return _Word(start, self.at, "".join(piece), quoted=True)

    def _expression(self) -> _Word:
        start = self.at
        found = _EXPRESSION.match(self.text, start)
        if found is None:
            raise self._error("this / is not closed; quote a text that begins with /", start)
        self.at = found.end()
        if not self._at_end():
            hint = "quote a text that begins with /, and begin with (?-i) to mind the case"
            raise self._error(f"a regular expression is {found[0]} here; {hint}", start)
        return _Word(start + 1, self.at - 1, found[1], quoted=True)

    def _character(self) -> str:
        if self.text[self.at] == "\\":
            self.at += 1
            if self.at == len(self.text):
                raise self._error("nothing follows this \\", self.at - 1)
        self.at += 1
        return self.text[self.at - 1]

    def _operator(self, name: _Word) -> _Word:
        signs = SIGNS.match(self.text, self.at)
        if signs is None:
            raise self._error("a space is missing after the closing quote", self.at)
        if not name.text:
            reason = f"the name before {signs[0]} is missing; no space stands around {signs[0]}"
            raise self._error(reason, name.start)
        if not name.quoted and not NAME.fullmatch(name.text):
            reason = f"{name.text!r} is not a name; quote a text that contains {signs[0]}"
            raise self._error(reason, name.start)
        if signs[0] not in _WRITTEN:
            hint = f"the operators are {' '.join(_WRITTEN)}"
            if signs[0] == "!~":
                hint = f"write -{name.text}~ for what does not contain a text"
            raise self._error(f"{signs[0]} is not an operator; {hint}", self.at)
        self.at = signs.end()
        return _Word(signs.start(), signs.end(), signs[0], quoted=False)

    def _make(
        self,
        word: _Word,
        operator: str,
        values: list[_Word],
        *,
        sign: _Word | None = None,
        name: str | None = None,
    ) -> Term:
        texts = [value.text for value in values]
        try:
            return make_term(name or word.text, operator, *texts, now=self.now)
        except Mistake as mistake:
            if isinstance(mistake.part, int):
                place = values[mistake.part]
            else:
                place = sign if sign and mistake.part == "operator" else word
            raise self._error(str(mistake), place.start + mistake.at) from None
