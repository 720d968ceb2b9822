"""Who is let in, and who may send as whom."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from make import P, Q
from receivers import Client, MakeEntries, MakeEntry, Start, StartProcess

from logbatch.server.run import Settings


class TestTokens:
    @pytest.mark.parametrize("header", ["Bearer one", "bearer  one", "Bearer two"])
    def test_accepted(self, start: Start, line: MakeEntry, header: str) -> None:
        """Each of the tokens is accepted."""
        client = start(tokens=("one", "two"))
        assert 200 == client.send([line("a")], Authorization=header).status_code

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "one",
            "Bearer",
            "Bearer on",
            "Bearer onee",
            "Basic one",
            "Bearer one two",
            "Bearer é",
        ],
    )
    @pytest.mark.parametrize("path", ["/v1/logs", "/v1/log", "/otlp/v1/logs"])
    def test_refused(self, start: Start, line: MakeEntry, header: str, path: str) -> None:
        """Anything else is refused, and stores nothing."""
        client = start(tokens=("one", "two"))
        answer = client.send(
            [line("a")], None, path, Authorization=header.encode().decode("latin-1")
        )
        assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
        assert [] == client.rows("message")

    def test_what_is_open(self, start: Start) -> None:
        """Anybody may ask for the health, and with a token for the metrics."""
        client = start(tokens=("one",))
        assert 200 == client.get("/healthz", Authorization="").status_code
        assert 401 == client.get("/metrics", Authorization="").status_code
        assert 200 == client.get("/metrics").status_code

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
    def test_beyond_this_machine(self, tmp_path: Path, host: str) -> None:
        """Where other machines can reach it, a token is a must."""
        with pytest.raises(ValueError, match="needs a token"):
            Settings(tmp_path, host)
        assert Settings(tmp_path, host, tokens=("x",)).tokens

    @pytest.mark.parametrize("token", ["", " ", "a b", "é", "a\n"])
    def test_odd_tokens(self, tmp_path: Path, token: str) -> None:
        """A token that could not be sent is refused at once."""
        with pytest.raises(ValueError, match="token"):
            Settings(tmp_path, tokens=(token,))

    def test_tokens_are_not_shown(self, tmp_path: Path) -> None:
        """A token stands in no repr."""
        assert "secret" not in repr(Settings(tmp_path, tokens=("secret",)))


class TestBinding:
    def test_to_the_first_token(self, start: Start, lines: MakeEntries) -> None:
        """Who has another token can neither add to a producer nor ask for what is there."""
        client = start(tokens=("one", "two"))
        other = {"Authorization": "Bearer two"}
        assert 200 == client.send(lines(0, 1), f"{P}/0-1").status_code
        for first, last in [(0, 1), (2, 3)]:
            refused = client.send(lines(first, last), f"{P}/{first}-{last}", **other)
            assert 403 == refused.status_code
        assert 200 == client.send(lines(0, 1), f"{Q}/0-1", **other).status_code
        assert 403 == client.send(lines(0, 1), f"{Q}/0-1").status_code
        assert ["n 0", "n 1"] == client.messages()

    def test_after_a_restart(self, start: Start, lines: MakeEntries) -> None:
        """A binding outlives the receiver, in a private file that holds no token."""
        client = start(tokens=("secret-one", "secret-two"))
        client.send(lines(0, 1), f"{P}/0-1")
        client.stop()
        client = start(tokens=("secret-two", "secret-one"))
        assert 403 == client.send(lines(2, 2), f"{P}/2-2").status_code
        folder = client.directory / ".receiver"
        kept = b"".join(path.read_bytes() for path in folder.iterdir())
        assert P.encode() in kept and b"secret-" not in kept
        assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    def test_a_token_that_was_replaced(self, start: Start, lines: MakeEntries) -> None:
        """Once a token is accepted no more, its producers go to the one that comes next."""
        client = start(tokens=("one", "two"))
        client.send(lines(0, 1), f"{P}/0-1")
        client.stop()
        client = start(tokens=("two", "three"))
        assert 200 == client.send(lines(0, 2), f"{P}/0-2").status_code
        assert 403 == client.send(lines(3, 3), f"{P}/3-3", Authorization="Bearer three").status_code

    def test_a_damaged_file(self, start: Start, lines: MakeEntries, process: StartProcess) -> None:
        """Bindings that cannot be read stop the receiver at its start, in one line."""
        client = start(tokens=("one",))
        client.stop()
        (client.directory / ".receiver" / "bindings.sqlite3").write_bytes(b"x" * 5000)
        with pytest.raises(AssertionError, match=r"\(1, 'Error: .* cannot be used: "):
            process("--token", "one", directory=client.directory)

    def test_a_file_that_is_busy(self, start: Start, lines: MakeEntries) -> None:
        """Bindings that cannot be kept now are no bug: the client comes again."""
        client = start(tokens=("one",))
        with sqlite3.connect(client.directory / ".receiver" / "bindings.sqlite3") as other:
            other.execute("BEGIN EXCLUSIVE")
            refused = client.send(lines(0, 1), f"{P}/0-1")
            assert (503, True) == (refused.status_code, "retry-after" in refused.headers)
            other.rollback()
        other.close()
        assert 200 == client.send(lines(0, 1), f"{P}/0-1").status_code


class TestCrossSite:
    def test_pages_of_other_sites(self, client: Client, line: MakeEntry) -> None:
        """A page of another site may not send; one of our own may."""
        own = client.url
        for origin, status in [
            (own, 200), ("http://evil.example", 403), ("null", 403), ("", 403),
            (own.replace("http:", "https:"), 403), (own + "0", 403), ("http://localhost:1", 403),
        ]:  # fmt: skip
            assert status == client.send([line("a")], Origin=origin).status_code, origin
        assert 403 == client.get("/metrics", Origin="http://evil.example").status_code

    def test_what_browsers_say_of_the_site(self, client: Client, line: MakeEntry) -> None:
        """A request that a page of another site causes is refused also where it has no `Origin`."""
        for site, status in [
            ("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403),
            ("Cross-Site", 403), ("", 403), ("none, cross-site", 403),
        ]:  # fmt: skip
            assert status == client.send([line("a")], Sec_Fetch_Site=site).status_code, site
            assert status == client.get("/metrics", Sec_Fetch_Site=site).status_code, site
            assert status == client.get("/healthz", Sec_Fetch_Site=site).status_code, site

    def test_names(self, client: Client, line: MakeEntry) -> None:
        """On loopback only the machine's own names are answered to: no rebound name of a page."""
        port = client.address[1]
        for host, status in [
            ("localhost", 200), (f"LOCALHOST:{port}", 200), (f"127.0.0.1:{port}", 200),
            ("127.1.2.3", 200), (f"[::1]:{port}", 200), ("x.localhost", 200), ("evil.example", 403),
            (f"evil.example:{port}", 403), ("127.0.0.1.evil.example", 403), ("192.168.0.1", 403),
            ("localhost@evil.example", 403), ("evil.example:80:80", 403),
        ]:  # fmt: skip
            assert status == client.send([line("a")], Host=host).status_code, host

    def test_allowed_names(self, start: Start, line: MakeEntry) -> None:
        """More names can be allowed."""
        client = start(allowed_hosts=("logs.lan",))
        for host, status in [
            ("logs.lan:80", 200),
            ("LOGS.lan", 200),
            ("localhost", 200),
            ("x.lan", 403),
        ]:
            assert status == client.send([line("a")], Host=host).status_code, host

    def test_what_a_page_can_send_without_asking(self, client: Client) -> None:
        """Forms and plain text are not taken; nor is anything allowed to pages that ask first."""
        for media in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
            assert 415 == client.send(b"[]", Content_Type=media).status_code
        asked = client.send(b"", method="OPTIONS", Access_Control_Request_Method="POST")
        assert (405, []) == (
            asked.status_code, [n for n in asked.headers if n.lower().startswith("access-control")]
        )  # fmt: skip
