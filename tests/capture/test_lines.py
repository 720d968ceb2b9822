"""What of a line a terminal would show."""

from __future__ import annotations

import pytest
from converting import NOW, convert, convert_one, feed, make, messages, rows

from logbatch.events.event import LineEncoder


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"a\nb\r\nc\r\r\n\nd", ["a", "b", "c", "", "d"]),
        (b"10%\r20%\r30%\n", ["30%"]),
        (b"10%\r20%\r   \r\n", ["20%"]),
        (b"\r\n   \r\n", ["", "   "]),
        (b"\xef\xbb\xbfhello\n\xef\xbb\xbfagain\n", ["hello", "\ufeffagain"]),
        (b"caf\xe9 \xff\xfe\n", ["caf\\xe9 \\xff\\xfe"]),
        (b"a\x00b\n", ["a\x00b"]),
        ("zwölf €\n".encode(), ["zwölf €"]),
        ("hi\n".encode("utf-16"), ["\\xff\\xfeh\x00i\x00", "\x00"]),
        (b"\x1b[1;31mred\x1b[0m \x1b[38;5;9mx\x1b[m\n", ["red x"]),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ b\n", ["alink b"]),
        (b"\x1b(B\x1b)0\x0ea\x0f\x1b[?25lb\x1b[?25h\n", ["ab"]),
        (b"\xc2\x9b31ma\x9b0m\xc2\x9d0;t\xc2\x9cb\n", ["ab"]),
        (b"\x1bPq#0~\x1b\\a\x1b_x\x1b\\b\x1b^y\x1b\\c\x1bXz\x1b\\\n", ["abc"]),
        (b"a\x1b\n", ["a"]),
        (b"a\x1b[31\nb\x1b]0;x\nc\n", ["a", "b", "c"]),
        (b"\x1b]P0123456a\x1b]Rb\x1bcc\x1b7d\n", ["abcd"]),
        (b"N\bNA\bAM\bME\bE\n|\b/\b-\b\\\n", ["NAME", "\\"]),
        (b"\x8b\x1f\x9b\xff\n", ["\\x8b\x1f\\x9b\\xff"]),
    ],
)
def test_what_is_shown(output: bytes, expected: list[str]) -> None:
    """Escape sequences and what was overwritten are left out; bytes that are no text are marked."""
    assert expected == messages(output)


@pytest.mark.parametrize(
    ("program", "output", "expected", "progress"),
    [
        (
            "tqdm",
            "\r  0%|          | 0/10 [00:00<?, ?it/s]"
            "\r 40%|████      | 4/10 [00:00<00:00, 39.9it/s]"
            "\r100%|██████████| 10/10 [00:00<00:00, 39.9it/s]\n",
            ["100%|██████████| 10/10 [00:00<00:00, 39.9it/s]"],
            "100%",
        ),
        (
            "pip",
            "Downloading x-1.0.whl (2.0 MB)\n\x1b[?25l   \x1b[90m━━━━━━\x1b[0m"
            " \x1b[32m0.0/2.0 MB\x1b[0m \x1b[31m?\x1b[0m eta \x1b[36m-:--:--\x1b[0m\r\x1b[2K"
            "   ━━━━━━ \x1b[32m2.0/2.0 MB\x1b[0m 9 MB/s eta 0:00:00\n\x1b[?25hdone\n",
            ["Downloading x-1.0.whl (2.0 MB)\n   ━━━━━━ 2.0/2.0 MB 9 MB/s eta 0:00:00", "done"],
            "2.0/2.0 MB",
        ),
        (
            "apt",
            "\r0% [Working]\r          \rHit:1 http://x sid InRelease\r\n\r0% [1 InRelease 5 kB]\r"
            "                    \rReading packages... 0%\r\rReading packages... Done\r\n",
            ["Hit:1 http://x sid InRelease", "Reading packages... Done"],
            "0%",
        ),
        (
            "docker pull",
            "1a2b: Pulling fs layer \n\x1b[1A\x1b[2K\r1a2b: Downloading  [==>  ]  1MB/3MB\x1b[1B"
            "\x1b[1A\x1b[2K\r1a2b: Pull complete \x1b[1B\nStatus: Downloaded\n",
            ["1a2b: Pulling fs layer ", "1a2b: Pull complete ", "Status: Downloaded"],
            "1a2b: Pull complete",
        ),
        (
            "npm",
            "\x1b[1G\x1b[0K⠙\x1b[1G\x1b[0K⠹\x1b[1G\x1b[0K\nadded 3 packages in 1s\n",
            ["⠹", "added 3 packages in 1s"],
            None,
        ),
        (
            "curl",
            "  % Total    % Received\n"
            "  0  100    0     0\r 50  100   50    50\r100  100  100   100\n",
            ["  % Total    % Received", "100  100  100   100"],
            None,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_progress_bars(
    program: str, output: str, expected: list[str], progress: str | None
) -> None:
    """A bar is one line: the last that was shown of it."""
    converter = make()
    made = feed(converter, [("stdout", NOW, output.encode())])
    assert expected == [row["message"] for row in rows(made)]
    assert progress == converter.progress


def test_a_long_message_says_its_bytes() -> None:
    """Bytes that are no text count as what was printed, and a character is not cut in two."""
    row = convert_one("ä".encode() * 1000, encoder=small(101))
    assert row["message"].endswith("ä…[cut: 2000 bytes in all]")
    row = convert_one(b"x\r" + b"\xff" * 1000 + b"\r\n", encoder=small(101))
    assert row["message"].startswith("\\xff\\xff")
    assert row["message"].endswith("…[cut: 1000 bytes in all]")


def small(limit: int) -> LineEncoder:
    """Make an encoder of short messages."""
    return LineEncoder(service="s", host="h", max_value_bytes=limit)


def test_the_program_is_in_each_event() -> None:
    """Each event says which run it is of, and where in its output."""
    (row,) = convert(b"hello\n", "stderr")
    assert {
        "stream": "stderr",
        "pid": 7,
        "run_id": "01m7y4mnsn285g6hxmhvdgyfrf",
        "command": "make all",
        "line": 1,
    } == row["attributes"]
    assert ("run", 7, "WARNING") == (row["logger"], row["process"], row["level"])
