"""The syntax of filters: what is text, what joins terms, and where a mistake is."""

from __future__ import annotations

import pytest
from filtering import NOW, as_table, filters, holds
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logbatch.dataset.filter.language import Filter
from logbatch.errors import FilterError


def test_bare_and_quoted_words_are_text_in_the_message() -> None:
    """Case does not matter; a `-` before a word takes records without it."""
    assert holds("TOOK items") and not holds("took -ITEMS") and holds("-nothing")
    assert holds('"items/7 took"') and holds(r"items/7\ took") and holds("'GET /'")
    assert holds(r'"\"x\""', message='say "X"') and holds("don't", message="I don't")
    assert holds("hello!!", message="Hello!!") and holds('"a=b"', message="a=b")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("x=1 or y=2", "x=1 OR y=2"),
        ("x=1 Or (y=2)", "x=1 OR y=2"),
        ("x=1 y=2", "x=1 AND y=2"),
        ("(x=1) and y=2", "((x=1 y=2))"),
        ("a b or c d", "(a b) or (c d)"),
        ("a or b c or d", "a or (b c) or d"),
        ("a or (b or c)", "a or b or c"),
        ("a (b (c d))", "a b c d"),
        ("not x=1", "-x=1"),
        ("not (x=1 or y=2)", "-(x=1 or y=2)"),
        ("NOT a", "-a"),
        ("NOT a b", "-a b"),
        ("NOT NOT a", "a"),
        ("NOT -a", "-(-a)"),
        ("a AND NOT b OR NOT(c)", "(a -b) or -c"),
        ("a or(b c)", "a or b c"),
        ("x!=*", "-x=*"),
        ('a "or" "not" b', r"a o\r message~not b"),
        ("or=1 not>2 and~x", '"or"=1 "not">2 "and"~x'),
        ("order android nothing or-", '"order" "android" "nothing" "or-"'),
        ("user=a,b", "user=a,'b'"),
        (r"path~/a\/b/", r"path~/a\/b/"),
        ("a||b R&D", '"a||b" "R&D"'),
    ],
)
def test_terms_are_joined_as_they_are_written(text: str, same: str) -> None:
    """`or` joins less tightly than a space; needless parentheses make no other filter."""
    assert Filter.parse(same, NOW) == Filter.parse(text, NOW)


def test_or_and_not_mean_what_they_say() -> None:
    """In capitals, and in lower case where it cannot be text."""
    assert holds("level=ERROR or user_id=42") and not holds("level=ERROR OR user_id=41")
    assert holds("took OR gave") and not holds("gave or given")
    assert holds("took and items") and not holds("took and gave")
    assert holds("not level=ERROR") and holds("NOT gave") and not holds("took NOT items")
    assert holds("-(level=ERROR took)") and not holds("-(level=INFO took)")
    assert holds("(level=ERROR or took) user_id=42") and not holds("(level=ERROR or took) gave")
    assert holds("level=ERROR gave or took")
    for word in ("or", "AND", "Not"):
        assert not holds(f'"{word}"') and holds(f'"{word}"', message=f"<{word.lower()}>")


def test_signs_in_quotes_are_text() -> None:
    """Whatever has a meaning without quotes has none in them, nor behind a backslash."""
    assert holds('"main()"', message="in main()") and holds(r"main\(\)", message="in main()")
    assert holds('x="a,b"', attributes={"x": "a,b"}) and holds(r"x=a\,b", attributes={"x": "a,b"})
    assert holds('x="*"', attributes={"x": "*"}) and not holds(r"x=\*", attributes={"x": "y"})
    assert holds('path~"/items/"') and holds(r"path~\/items\/") and holds("/items/")
    assert not holds('path~"/ITEM./"') and holds("path~/ITEM./")
    assert holds("took,items", message="It took,Items") and holds("message~a,b", message="A,b")


def test_an_empty_filter_lets_everything_through() -> None:
    """No terms, or only spaces: every record."""
    assert holds("") and holds("  \t ") and not Filter.parse(" ")
    assert [] == Filter.parse("x=1 took level>=5").mask(as_table([])).to_pylist()


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("a==1", "== is not an operator; the operators are > >= < <= = != ~", 1),
        ("b=1 status=>5", "=> is not an operator", 10),
        ("level>=WARNIN", "did you mean 'WARNING'?", 7),
        ("level=", 'the value after level= is missing ("" is an empty one)', 6),
        ("since=tomorrow", "'tomorrow' is not a time", 6),
        ("since=3x", "'3x' is not a time", 6),
        ("until=99999999w", "'99999999w' is too far away", 6),
        ("since=0001-01-01T00:00+23:00", "is too far away", 6),
        ("since>=2h", "since needs =, not >=", 5),
        ("x>=abc", "x>= needs a number, not 'abc'", 3),
        ("levl>=WARNING", "did you mean level>=?", 6),
        ("lineno=abc", "lineno= needs a number, not 'abc'", 7),
        ("lineno>null", "lineno> needs a number, not 'null'", 7),
        ("message>=5", "message is text, which supports =, != and ~, not >=", 7),
        ('a "b c', 'this " is not closed', 2),
        ("x='b", "this ' is not closed", 2),
        ("=5", "the name before = is missing", 0),
        ('""=5', "the name before = is missing", 0),
        ("status = 500", "the name before = is missing; no space stands around =", 7),
        ("a http://x?a=b", "'http://x?a' is not a name; quote a text that contains =", 2),
        ('"a"b', "a space is missing after the closing quote", 3),
        ('x="a"b', "a space is missing after the closing quote", 5),
        ("a -", "- must come right before a term, once", 2),
        ("--a", "- must come right before a term, once", 0),
        ("a\\", "nothing follows this \\", 1),
        ('""', "a text to look for is missing", 0),
        ('x~""', "a text to look for is missing", 2),
        ('"attributes."=1', "the name of an attribute is missing", 0),
        ("x=\ud800", "this is not valid text", 2),
        ("a or", 'there is no term after this or; "or" in quotes is text', 2),
        ("OR a", 'there is no term before this OR; "OR" in quotes is text', 0),
        ("a (or b)", "there is no term before this or", 3),
        ("a or or b", "there is no term after this or", 2),
        ("a and", "there is no term after this and", 2),
        ("and a", "there is no term before this and", 0),
        ("a or and b", "there is no term before this and", 5),
        ("a AND NOT", "there is no term after this NOT", 6),
        ("(a NOT)", "there is no term after this NOT", 3),
        ("not found", 'not before a word may be text: write "not", or NOT to negate', 0),
        ("x=1 Not -found", 'Not before a word may be text: write "Not", or NOT to negate', 4),
        ("not NOT found", "not before a word may be text", 0),
        ("a -or", '"or" in quotes is text', 3),
        ("a && b", 'write and; "&&" in quotes is text', 2),
        ("a | b", 'write or; "|" in quotes is text', 2),
        ("()", "there is no term before this )", 1),
        ("a ( b", "this ( is not closed; quote a text that contains (", 2),
        ("a (", "this ( is not closed; quote a text that contains (", 2),
        ("a)", "this ) closes nothing; quote a text that contains )", 1),
        ("main()", "quote a text that contains (", 4),
        ("x=(a)", "quote a text that contains (", 2),
        ("(a)b", "a space is missing after )", 3),
        ("- (a)", "- must come right before a term, once", 0),
        ("(" * 51 + "a" + ")" * 51, "this is more than 50 parentheses deep", 50),
        ("NOT " * 51 + "a", "this is more than 50 parentheses deep", 200),
        ("x=a,", 'a value is missing beside the comma; "," in quotes is text', 4),
        ("x!=,a", "a value is missing beside the comma", 3),
        ("level=ERROR,WARNIN", "did you mean 'WARNING'?", 12),
        ("lineno=1,b", "lineno= needs a number, not 'b'", 9),
        ("since=2h,1h", "since takes one time", 9),
        ("since=*", "since needs =, not =*", 5),
        ("x=a,*", '* alone stands for any value; "*" in quotes is text', 4),
        ("x=[1,2]", "quote a list or an object that has commas", 2),
        ("x!~a", "!~ is not an operator; write -x~ for what does not contain a text", 1),
        ("x~/a/i", "a regular expression is /a/ here; quote a text that begins with /, and", 2),
        ("path~/items", "this / is not closed; quote a text that begins with /", 5),
        ("path~/items/7", "a regular expression is /items/ here; quote a text", 5),
        ("x~//", "a regular expression to look for is missing", 3),
        ("x~/ab[z-a]/", "not a regular expression: invalid character class range: z-a", 6),
        ("x~/a(b/", "this is not a regular expression: missing ): a(b", 3),
        ("x~/(?=a)/", "this is not a regular expression: invalid perl operator: (?=", 3),
        (r"x~/\\(?<n>a)/", "(?< is not supported", 5),
        (r"x~/(a)\1/", r"this is not a regular expression: invalid escape sequence: \1", 6),
        (r"x~/\pL{300}/", "this is not a regular expression: it is too large", 3),
        ("x~/a\ud800/", "this is not valid text", 3),
    ],
)
def test_a_mistake_is_pointed_at(text: str, reason: str, position: int) -> None:
    """The error says what is wrong, and where."""
    with pytest.raises(FilterError) as caught:
        Filter.parse(text, now=NOW)
    assert reason in caught.value.reason
    assert (text, position) == (caught.value.text, caught.value.position)


@settings(max_examples=300)
@given(filters())
def test_a_filter_reads_back_what_it_writes(found: Filter) -> None:
    """`str` gives a text that `parse` understands as the same filter."""
    assert found == Filter.parse(str(found), now=NOW)


PIECES = [
    "a",
    "level",
    "or",
    "AND",
    "not",
    "NOT",
    "x=",
    "x~/",
    "(",
    ")",
    " ",
    " ",
    "-",
    "null",
    "1",
]
TEXTS = st.lists(st.sampled_from([*PIECES, *"=<>!~,*/\"'\\[.5"]) | st.characters(), max_size=12)


@settings(max_examples=300)
@given(TEXTS.map("".join))
@example(r"\:<0")  # a name that is one only in quotes was written without them
@example('x="[1]",a')  # so was the first of several values that looks like a list
def test_any_text_is_a_filter_or_a_mistake_inside_it(text: str) -> None:
    """Nothing but a FilterError comes out, and it points into the text or right behind it."""
    try:
        found = Filter.parse(text, now=NOW)
    except FilterError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert found == Filter.parse(str(found), now=NOW)
