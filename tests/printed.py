"""Lines as real programs print them, and what they say."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """A line of a program.

    Attributes:
        program: Who prints it.
        line: The line.
        level: The level that it says; None if it says none.
        time: The time that its event gets; None for that at which it was read.
    """

    program: str
    line: str
    level: str | None
    time: str | None = None


# They are read at 2026-11-22T00:00:00.5Z.
TEXTS = [
    Said("logging.basicConfig", "WARNING:root:disk is nearly full", "WARNING"),
    Said(
        "logging with asctime",
        "2026-11-22 01:00:00,123 - app.db - ERROR - no connection",
        "ERROR",
        "2026-11-22T00:00:00.123000Z",
    ),
    Said(
        "logging with asctime",
        "2026-11-22 01:00:00,123 INFO app ready",
        "INFO",
        "2026-11-22T00:00:00.123000Z",
    ),
    Said(
        "logging with asctime",
        "2026-11-22 01:00:00,123 app ERROR broken",
        "ERROR",
        "2026-11-22T00:00:00.123000Z",
    ),
    Said("logging, yesterday", "2026-11-20 01:00:00,123 DEBUG x", "DEBUG"),
    Said("logging, name first", "root - CRITICAL - out of memory", "CRITICAL"),
    Said(
        "logging in brackets",
        "[2026-11-22 00:00:00,250] ERROR in app: Exception on / [GET]",
        "ERROR",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "loguru",
        "2026-11-22 00:00:00.250 | WARNING  | __main__:main:5 - careful",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "structlog, console",
        "2026-11-22T00:00:00.250000Z [error    ] it failed   user=x",
        "ERROR",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "uvicorn",
        "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
        "INFO",
    ),
    Said("uvicorn", 'INFO:     127.0.0.1:50100 - "GET / HTTP/1.1" 200 OK', "INFO"),
    Said(
        "gunicorn",
        "[2026-11-21 23:59:00 +0000] [123] [INFO] Booting worker with pid: 123",
        "INFO",
        "2026-11-21T23:59:00Z",
    ),
    Said(
        "gunicorn",
        "[2026-11-22 00:00:00 +0000] [123] [CRITICAL] WORKER TIMEOUT (pid:7)",
        "CRITICAL",
    ),
    Said(
        "celery",
        "[2026-11-22 00:00:00,250: WARNING/MainProcess] consumer: cannot connect",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "celery",
        "[2026-11-22 00:00:00,250: ERROR/ForkPoolWorker-1] Task a.b raised",
        "ERROR",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "jupyter",
        "[W 2026-11-22 00:00:00.250 ServerApp] no terminal",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said("jupyter, old", "[I 12:30:11.123 NotebookApp] Serving notebooks", "INFO"),
    Said("warnings", "/a/b.py:3: DeprecationWarning: do not", "WARNING"),
    Said("pip", "ERROR: No matching distribution found for nope", "ERROR"),
    Said(
        "pip", "WARNING: Running pip as the 'root' user can result in broken permissions", "WARNING"
    ),
    Said("argparse", "tool.py: error: the following arguments are required: x", "ERROR"),
    Said("django runserver", '[22/Nov/2026 00:00:00] "GET / HTTP/1.1" 200 10697', None),
    Said("nginx, errors", "2026/11/22 00:00:00 [error] 123#123: *1 open() failed", "ERROR"),
    Said(
        "nginx, access",
        '127.0.0.1 - - [21/Nov/2026:23:00:00 +0000] "GET / HTTP/1.1" 200 612',
        None,
        "2026-11-21T23:00:00Z",
    ),
    Said(
        "apache, errors",
        "[Sun Nov 22 00:00:00.250000 2026] [core:error] [pid 1:tid 2] AH00037",
        "ERROR",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said("glog, klog", "E1122 00:00:00.250000   12345 main.go:7] cannot list", "ERROR"),
    Said("glog, klog", "I1122 00:00:00.250000       1 main.go:7] started", "INFO"),
    Said("Go's log", "2026/11/22 00:00:00 listening on :8080", None),
    Said("Go's slog", "2026/11/22 00:00:00 INFO hello count=3", "INFO"),
    Said(
        "zap, console",
        "2026-11-22T00:00:00.250Z\tWARN\tpkg/a.go:3\tretry",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said("zerolog, console", '12:00AM ERR cannot open error="no file"', "ERROR"),
    Said("env_logger", "[2026-11-22T00:00:00Z WARN  crate::mod] slow", "WARNING"),
    Said(
        "tracing (Rust)",
        "2026-11-22T00:00:00.250000Z  INFO my_app::web: started",
        "INFO",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said("cargo", "warning: unused variable: `x`", "WARNING"),
    Said("rustc", "error[E0382]: borrow of moved value: `v`", "ERROR"),
    Said("gcc", "main.c:3:5: error: expected ';' before 'return'", "ERROR"),
    Said("gcc", "main.c:3:5: warning: unused variable 'x' [-Wunused-variable]", "WARNING"),
    Said("gcc", "main.c:1:10: fatal error: nope.h: No such file or directory", "ERROR"),
    Said("git", "fatal: not a git repository (or any of the parent directories): .git", "CRITICAL"),
    Said("apt", "E: Unable to locate package nope", "ERROR"),
    Said("apt", "W: Some index files failed to download.", "WARNING"),
    Said("npm", "npm ERR! code E404", "ERROR"),
    Said("npm 10", "npm warn deprecated inflight@1.0.6: not supported", "WARNING"),
    Said("PHP", "PHP Warning:  Undefined variable $x in /a.php on line 3", "WARNING"),
    Said("PHP", "PHP Fatal error:  Uncaught Exception: x in /a.php:3", "ERROR"),
    Said(
        "Ruby's Logger",
        "E, [2026-11-22T00:00:00.250123 #7] ERROR -- : no",
        "ERROR",
        "2026-11-22T00:00:00.250123Z",
    ),
    Said("logback", "00:00:00.250 [main] WARN  com.example.Foo -- slow", "WARNING"),
    Said(
        "Spring Boot",
        "2026-11-22T00:00:00.250Z ERROR 1 --- [app] [main] c.e.Foo : no",
        "ERROR",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "log4j, Kafka",
        "[2026-11-22 00:00:00,250] ERROR Shutdown broker (kafka.Kafka$)",
        "ERROR",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "Elasticsearch",
        "[2026-11-22T00:00:00,250][WARN ][o.e.b.Checks] [node] max",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said("Maven", "[ERROR] Failed to execute goal", "ERROR"),
    Said("java.util.logging", "SEVERE: it broke", "ERROR"),
    Said(".NET console", "fail: Microsoft.AspNetCore.Server[13]", "ERROR"),
    Said(".NET console", "info: Microsoft.Hosting.Lifetime[14]", "INFO"),
    Said("Serilog, console", "[00:00:00 ERR] It failed", "ERROR"),
    Said("Elixir", "00:00:00.250 [error] GenServer terminating", "ERROR"),
    Said(
        "RabbitMQ",
        "2026-11-22 00:00:00.250000+00:00 [warning] <0.1.0> limit",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "PostgreSQL",
        "2026-11-22 00:00:00.250 UTC [123] ERROR:  relation does not exist",
        "ERROR",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "PostgreSQL",
        "2026-11-22 00:00:00.250 UTC [123] LOG:  ready",
        None,
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "MySQL",
        "2026-11-22T00:00:00.250000Z 0 [Warning] [MY-010068] [Server] CA",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "Redis",
        "7:M 22 Nov 2026 00:00:00.250 # Server can't set maximum open files",
        "WARNING",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said(
        "Redis",
        "7:M 22 Nov 2026 00:00:00.250 * Ready to accept connections",
        "NOTICE",
        "2026-11-22T00:00:00.250000Z",
    ),
    Said("journald", "<3>it failed", "ERROR"),
    Said(
        "syslog",
        "<165>1 2026-11-21T22:14:15.003Z host app - ID47 - x",
        "NOTICE",
        "2026-11-21T22:14:15.003000Z",
    ),
    Said("syslog, file", "Nov 22 00:00:00 host sshd[12]: error: kex_exchange", "ERROR"),
    Said("logcat", "11-22 00:00:00.250  1234  1250 E AndroidRuntime: FATAL EXCEPTION", "ERROR"),
    Said("ansible", "[WARNING]: No inventory was parsed", "WARNING"),
    Said("terraform", "Error: Unsupported argument", "ERROR"),
    Said("winston", "error: it failed", "ERROR"),
    Said("logfmt in a message", "it went wrong level=error code=3", "ERROR"),
    Said("make", "make: *** [Makefile:2: all] Error 1", None),
    Said("pytest", "===== 3 passed, 0 errors in 0.12s =====", None),
    Said("a count", "0 errors", None),
    Said("a count", "Errors: 0", None),
    Said("a count", "ERROR: 0", None),
    Said("a sentence", "no error was found in the file", None),
    Said("a sentence", "error handling is hard", None),
    Said("a sentence", "An ERROR can happen", None),
    Said("a sentence", "Information about trains", None),
    Said("a path", "/var/log/error.log", None),
    Said("a URL", "https://example.org/error: none", None),
    Said("a table", "12345 67890 ERRORS", None),
    Said("a ratio", "3/10 done", None),
    Said("ls", "-rw-r--r-- 1 root root 12 Nov 22 00:00 error.txt", None),
    Said("docker build", "Step 3/10 : RUN make", None),
    Said("curl", "curl: (6) Could not resolve host: nope", None),
    Said("bash", "bash: line 1: nope: command not found", None),
]

STRUCTURED = [
    '{"event": "hello", "level": "warning", "timestamp": "2026-11-21T10:00:00.5Z", "user": 1}',
    '{"level":30,"time":1795255200500,"pid":9,"hostname":"h","msg":"hello"}',
    '{"level":"info","ts":1795255200.5,"caller":"a.go:1","msg":"hello","n":1}',
    '{"level":"info","level":"debug","time":"2026-11-21T10:00:00Z","message":"hello"}',
    'time="2026-11-21T10:00:00.5Z" level=info msg="hello there" n=1',
    '{"just": "data"}',
    "a=b c=d",
]

TRACEBACKS = [
    """Traceback (most recent call last):
  File "/a.py", line 3, in <module>
    f()
    ~^^
  File "/a.py", line 1, in f
    raise KeyError("k")
KeyError: 'k'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/a.py", line 5, in <module>
    raise ValueError("bad value") from error
app.errors.BadValue: bad value""",
    """  + Exception Group Traceback (most recent call last):
  |   File "/a.py", line 1, in <module>
  |     raise ExceptionGroup("several", [ValueError("a"), KeyError("b")])
  | ExceptionGroup: several (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: a
    +---------------- 2 ----------------
    | KeyError: 'b'
    +------------------------------------""",
    """Exception in thread "main" java.lang.IllegalStateException: no state
\tat com.example.Foo.bar(Foo.java:12)
\tat com.example.Main.main(Main.java:5)
Caused by: java.lang.NullPointerException
\tat com.example.Foo.baz(Foo.java:20)
\t... 12 more""",
    """panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.main()
\t/tmp/x.go:5 +0x1d
main.(*T).run(0x1, {0x2, 0x3})
\t/tmp/x.go:9 +0x2a
created by main.start in goroutine 1
\t/tmp/x.go:19 +0x3a

goroutine 18 [select]:
net/http.(*Server).Serve(0xc000)
\t/usr/lib/go/http.go:7 +0x1
exit status 2""",
    """/app/x.js:1
throw new TypeError("no function");
^

TypeError: no function
    at Object.<anonymous> (/app/x.js:1:7)
    at Module._compile (node:internal/modules/cjs/loader:1358:14)
    at node:internal/main/run_main_module:28:49

Node.js v20.15.0""",
    """x.rb:1:in `foo': it broke (ArgumentError)
\tfrom x.rb:3:in `<main>'""",
    """thread 'main' panicked at src/main.rs:2:5:
it broke
stack backtrace:
   0: rust_begin_unwind
             at /rustc/std/src/panicking.rs:1:1
   1: x::main
             at ./src/main.rs:2:5
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.""",
    """Unhandled exception. System.InvalidOperationException: it broke
 ---> System.ArgumentException: inner
   at App.Foo.Bar() in /a/Foo.cs:line 3
   --- End of inner exception stack trace ---
   at App.Main(String[] args) in /a/Main.cs:line 7""",
    """PHP Fatal error:  Uncaught RuntimeException: it broke in /a.php:3
Stack trace:
#0 /a.php(7): f()
#1 {main}
  thrown in /a.php on line 3""",
    """Fatal Python error: Segmentation fault

Current thread 0x00007f0000000001 (most recent call first):
  File "/a.py", line 3 in f
  File "/a.py", line 5 in <module>

Extension modules: a.b (total: 1)""",
    """lua: x.lua:1: it broke
stack traceback:
\t[C]: in function 'error'
\tx.lua:1: in main chunk""",
]

ALL_LINES = [
    *(said.line for said in TEXTS),
    *STRUCTURED,
    *(line for text in TRACEBACKS for line in text.split("\n")),
]
