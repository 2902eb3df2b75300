#!/usr/bin/env python3
"""keeper_words_test: no text in the module pg_keeper names what only agents have, unless tell.c says it in other words.

keeper_words_test MODULE. All texts are looked through that were linked in, whoever said them first.
"""

import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
KEEPER = os.path.join(ROOT, "src", "keeper")

# Commands, options, sections and files of agents.
THEIRS = re.compile(r"\bpgvigil(?!\.\w|$)|\bagents?\b|--[a-z]+|\[[a-z]+\]|state.directory|configuration file\b")

# Texts of what pg_keeper does not use: test_unsaid says how that is known.
UNSAID = (
    # orders
    "pgvigil failover", "pgvigil resolve", "pgvigil resume", "pgvigil lost", "--accept-loss", "[postgresql] clone",
    "start pgvigil on the others",
    # options
    "[cluster] resolve", "[cluster] failover", "[cluster] observers_agree", "[postgresql] initdb",
    "another configuration", "configuration_differs", "by their system identifiers: correct [members]",
    # explain
    "restart_after_crash is on", "that pgvigil itself stopped",
    # a name; and a command that needs no agent
    "pgvigil fence", "pgvigil status --dsn",
)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def words():
    """What tell.c says in the place of what; the rest of a macro is looked at by itself."""
    text = r'((?:"(?:\\.|[^"\\])*"\s*|[A-Z_]+\s*)+)'
    found = re.findall(r"\{%s,\s*%s\}" % (text, text), read(KEEPER, "tell.c"))
    return [tuple("".join(re.findall(r'"((?:\\.|[^"\\])*)"', part)) for part in pair) for pair in found]


def translate(text, table):
    said, at = "", 0
    while at < len(text):
        there, here = next((pair for pair in table if text.startswith(pair[0], at)), (text[at], text[at]))
        said += here
        at += len(there)
    return said


def test_unsaid():
    """The orders and options by which they would be said are not used."""
    sources = "".join(read(KEEPER, name) for name in os.listdir(KEEPER) if name.endswith(".c"))
    orders = set(re.findall(r"\bCOMMAND_\w+", sources))
    assert orders == {"COMMAND_MEMBER_ADD", "COMMAND_MEMBER_REMOVE", "COMMAND_SWITCHOVER"}, orders
    for name in ("failover_by_order", "observers_agree", "config_hash", "facts_text", "explain_rule", "explain_election", "core_choice"):
        assert name not in sources, name


def main():
    table = words()
    assert len(table) > 10, table
    test_unsaid()
    with open(sys.argv[1], "rb") as file:
        texts = {found.decode() for found in re.findall(rb"[\x20-\x7e]{6,}", file.read())}
    assert any("pgvigil status" in text for text in texts), "these are not the texts of the module"
    wrong = sorted(text for text in texts if not any(word in text for word in UNSAID) and
                   THEIRS.search(translate(text, table)))
    for text in wrong:
        print("nobody has that with pg_keeper: say it otherwise in src/keeper/tell.c: %s" % text)
    unused = [there for there, _ in table if not any(there in text and there != text for text in texts)]
    for there in unused:
        print("nobody says that any more: take it out of src/keeper/tell.c: %s" % there)
    return 1 if wrong or unused else 0


if __name__ == "__main__":
    sys.exit(main())
