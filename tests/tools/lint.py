#!/usr/bin/env python3
"""House rules that a compiler does not check: layers and purity from the #include lines, lengths of
files, functions and lines, and a contract comment for every prototype of a header."""
import re
import subprocess
import sys

LAYERS = {"base": set(), "coord": {"base"}, "relay": {"base"}, "web": {"base"},
          "server": {"base", "coord", "relay", "web"}}
# What a folder may include of another one besides its layer: the public faces.
FACES = {"web": {"coord/coord.h", "relay/relay.h"}}
PURE = re.compile(r"^(server/door_http|coord/(noise|policy_\w+|map_(chunk|full|delta|peer|zstd|world|spread)|msg_\w+"
                  r"|hostinfo|dns_label)|relay/(derp_frame|derp_hello|derp_queue|captive))\.[ch]$")
# Headers of ours that a pure module may not see: threads, sockets, clocks, logs, the database.
IMPURE_OWN = {"base/worker.h", "base/mbox.h", "base/io.h", "base/log.h", "base/clock.h",
              "coord/store.h", "coord/session.h", "coord/ts2021.h"}
IMPURE_SYSTEM = re.compile(r"^(event2/|sys/epoll|sys/socket|pthread|sqlite3|time\.h|unistd)")
FILE_MAX, FUNCTION_MAX = 600, 100
COLUMNS = 112  # the aim is 100; a table row or a comment may stand out a little

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"],
                         capture_output=True, text=True, check=True).stdout
    return [p for p in out.split() if p.split("/")[0] in (*LAYERS, "tests")]


def check_includes(path, lines):
    folder = path.split("/")[0]
    if folder == "tests":
        return
    is_pure = bool(PURE.match(path))
    for number, line in enumerate(lines, 1):
        m = re.match(r'#include ([<"])([^>"]+)[>"]', line)
        if not m:
            continue
        kind, name = m.groups()
        if kind == '"':
            to = name.split("/")[0]
            if to not in LAYERS:
                problem(path, number, f'include "{name}" by its path from the top')
            elif to != folder and to not in LAYERS[folder] and name not in FACES.get(folder, ()):
                problem(path, number, f"{folder} may not include {name}")
            if is_pure and name in IMPURE_OWN:
                problem(path, number, f"a pure module may not include {name}")
        elif is_pure and IMPURE_SYSTEM.match(name):
            problem(path, number, f"a pure module may not include <{name}>")


def functions(lines):
    """(name, first line, last line) of each function body: starts with '{' in column 0."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{" or line == "{\n":
            start = number
        elif line.startswith("}") and start is not None:
            if not re.match(r"^}\s*[\w\[]", line) and line.rstrip() == "}":
                head = lines[start - 2].strip() if start >= 2 else "?"
                yield head, start, number
            start = None


def check_lengths(path, lines):
    if len(lines) > FILE_MAX:
        problem(path, len(lines), f"{len(lines)} lines; a file has at most {FILE_MAX}")
    for number, line in enumerate(lines, 1):
        if len(line.rstrip("\n").expandtabs(8)) > COLUMNS and not line.startswith("/* links:"):
            problem(path, number, f"longer than {COLUMNS} columns")
        if line.rstrip("\n") != line.rstrip("\n").rstrip():
            problem(path, number, "blanks at the end of the line")
    for head, first, last in functions(lines):
        if last - first > FUNCTION_MAX:
            problem(path, first, f"{last - first} lines in `{head}`; at most {FUNCTION_MAX}")


def check_header(path, lines):
    text = "".join(lines)
    if not text.lstrip().startswith("/*"):
        problem(path, 1, "a header begins with a comment that says what it is")
    # Every block of prototypes must have a comment right above it or behind one of its lines.
    number, block, has_comment, previous_comment = 0, None, False, False
    in_comment = False
    for number, line in enumerate(lines + ["\n"], 1):
        stripped = line.strip()
        starts_comment = stripped.startswith("/*")
        if in_comment or starts_comment:
            in_comment = "*/" not in stripped
            previous_comment = True
            continue
        is_prototype = bool(re.match(r"^[A-Za-z_][\w \*]*\b\w+\(", line)) and not stripped.startswith(
            ("static inline", "#", "typedef", "TAILQ", "STAILQ", "return"))
        if is_prototype and block is None:
            block, has_comment = number, previous_comment
        if block is not None and "/*" in line:
            has_comment = True
        if stripped == "" and block is not None:
            if not has_comment:
                problem(path, block, "a prototype without a contract comment")
            block = None
        if stripped == "":
            previous_comment = False


def main():
    for path in tracked():
        try:
            with open(path, encoding="utf-8") as f:
                lines = f.readlines()
        except FileNotFoundError:
            continue
        check_includes(path, lines)
        check_lengths(path, lines)
        if path.endswith(".h") and not path.startswith("tests/"):
            check_header(path, lines)
    for p in problems:
        print(p)
    print(f"lint: {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
