#!/usr/bin/env python3
"""tidy_test: tools/tidy finds each thing that it is there to find, and nothing in what is right."""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TIDY = os.path.join(ROOT, "tools", "tidy")

HEADER = """/*
 * good.h: a header that is as it should be.
 */
#ifndef PGVIGIL_SYS_GOOD_H
#define PGVIGIL_SYS_GOOD_H

int good_one(void);

#endif
"""
SOURCE = """/*
 * good.c: a file that is as it should be; it may say system() and time(NULL) in a comment.
 */
#include "sys/good.h"

#include <stdio.h>

int good_one(void)
{
    return puts("strcpy(a, b) is only text");
}
"""

# What is wrong: (rule, path, content).
WRONG = [
    ("includes", "src/core/a.c", '/*\n * a.c: x.\n */\n#include "sys/good.h"\n'),
    ("includes", "src/sys/a.c", '/*\n * a.c: x.\n */\n#include "good.h"\n'),
    ("includes", "src/pg/a.c", '/*\n * a.c: x.\n */\n#include "sys/internal.h"\n'),
    ("file_size", "src/sys/a.c", "/*\n * a.c: x.\n */\n" + "int a;\n" * 500),
    ("function_size", "src/sys/a.c", "/*\n * a.c: x.\n */\nvoid a_b(void)\n{\n" + "    ;\n" * 70 + "}\n"),
    ("heading", "src/sys/a.c", "int a;\n"),
    ("heading", "src/sys/a.c", "/*\n * b.c: x.\n */\n"),
    ("heading", "src/sys/a.c", "/*\n * a.c: x.\n" + " * y\n" * 6 + " */\n"),
    ("guard", "src/sys/a.h", "/*\n * a.h: x.\n */\n#ifndef SYS_A_H\n#define SYS_A_H\n#endif\n"),
    ("prefix", "src/sys/a.c", "/*\n * a.c: x.\n */\nint\nb_c(int x)\n{\n    return x;\n}\n"),
    ("forbidden", "src/sys/a.c", "/*\n * a.c: x.\n */\nstatic int x(void)\n{\n    return system(0);\n}\n"),
    ("forbidden", "src/sys/a.c", "/*\n * a.c: x.\n */\nstatic void x(char *a)\n{\n    strcpy(a, a);\n}\n"),
    ("clock", "src/sys/a.c", "/*\n * a.c: x.\n */\nstatic void x(void)\n{\n    clock_gettime(0, 0);\n}\n"),
    ("blocking", "src/pg/a.c", "/*\n * a.c: x.\n */\nstatic void x(void)\n{\n    PQexec(0, 0);\n}\n"),
    ("version", "src/keeper/a.c", "/*\n * a.c: x.\n */\n#if PG_VERSION_NUM >= 140000\n#endif\n"),
    ("words", "src/sys/a.c", "/*\n * a.c: x.\n */\n/* TO" "DO later */\n"),
    ("words", "src/sys/a.c", "/*\n * a.c: x.\n */\n/* the mas" "ter */\n"),
]

RIGHT = [
    ("src/sys/a.c", SOURCE.replace("good.c", "a.c").replace("good_one(void)\n{", "good_one(void)\n{")),
    ("src/sys/clock.c", "/*\n * clock.c: x.\n */\nvoid clock_x(void)\n{\n    clock_gettime(0, 0);\n}\n"),
    ("src/cli/a.c", "/*\n * a.c: x.\n */\nstatic void x(void)\n{\n    PQexec(0, 0);\n}\n"),
    ("src/sys/a.c", "/*\n * a.c: x.\n */\nvoid a_b(void)\n{\n" + "    ;\n" * 67 + "}\n"),
    ("src/ext/a.c", '/*\n * a.c: x.\n */\n#include "config/options.def"\n'),
    ("src/ext/version.h", "/*\n * version.h: x.\n */\n#ifndef PGVIGIL_EXT_VERSION_H\n#define PGVIGIL_EXT_VERSION_H\n"
     "#if PG_VERSION_NUM >= 140000\n#endif\n#endif\n"),
    ("src/keeper/a.c", "/*\n * a.c: x.\n */\nstatic const int version = PG_VERSION_NUM;\n"),
]


def run(path, content):
    with tempfile.TemporaryDirectory() as root:
        files = {"src/sys/good.h": HEADER, "src/sys/good.c": SOURCE, "src/config/options.def": "/*\n * options.def: x.\n */\n",
                 "src/sys/internal.h": HEADER.replace("good.h", "internal.h").replace("GOOD", "INTERNAL")
                 .replace("good_one", "good_two"), path: content}
        for name, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as f:
                f.write(text)
        result = subprocess.run([sys.executable, TIDY, "--root", root], capture_output=True, text=True, timeout=60)
        return result.returncode, result.stdout


def folders_differ():
    """style.md says what each folder is for, tidy --list what it may include: of the same folders."""
    with open(os.path.join(ROOT, "docs", "design", "style.md"), encoding="utf-8") as f:
        told = set(re.findall(r"(?m)^\| `(\w+)` \|", f.read()))
    result = subprocess.run([sys.executable, TIDY, "--list"], capture_output=True, text=True, timeout=60, check=True)
    return told ^ set(re.findall(r"(?m)^ +(\w+) +may include ", result.stdout))


def main():
    failures = 0
    if folders_differ():
        print(f"docs/design/style.md and tools/tidy --list: only one of them has {', '.join(sorted(folders_differ()))}")
        failures += 1
    for rule, path, content in WRONG:
        code, output = run(path, content)
        if code != 1 or f"{path}:" not in output or f"[{rule}]" not in output:
            print(f"rule {rule} did not find what is wrong in {path}:\n{content[:200]}\n{output}")
            failures += 1
    for path, content in RIGHT:
        code, output = run(path, content)
        if code != 0:
            print(f"something was found in {path}, which is right:\n{output}")
            failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
