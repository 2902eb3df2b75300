"""A program of pgvigil under an old name, on a node, with its log; ends with the `with` block."""

import os
import signal
import subprocess

from . import base
from .base import wait_for


class Program:
    """Subclasses set node, folder, log_path and program before they call spawn in start()."""

    moment = 40  # seconds; what is waited for usually takes a few
    process = None
    _begun = 0

    def start(self):
        raise NotImplementedError

    def spawn(self, argv, mode="wb", **kwargs):
        """mode "ab": the log of an earlier run stays."""
        self._begun = self.log().count(" started ") if mode == "ab" and os.path.exists(self.log_path) else 0
        with open(self.log_path, mode) as log:
            self.process = subprocess.Popen(argv, env=self.node.environment(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, **kwargs)
        base.register(self)

    def __enter__(self):
        self.start()
        try:
            self.wait_log(" started ", self._begun + 1)
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print("---- %s\n%s" % (self.folder, self.log()[-8000:]))
        self.destroy()
        if kind is None:  # a sanitizer's report at the end is another code
            assert self.process.returncode == 0, self.log()[-6000:]

    def pid(self):
        found = [p.pid for p in self.node.processes() if p.args and p.args[0] == self.program]
        return found[0] if found else None

    def send(self, number):
        os.kill(wait_for(self.pid, self.moment, "the process"), number)

    def destroy(self):
        base.unregister(self)
        if self.process.poll() is None and self.pid() is not None:
            self.send(signal.SIGTERM)
        self.process.wait(self.moment)

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return file.read()

    def wait_log(self, text, count=1):
        wait_for(lambda: self.log().count(text) >= count, self.moment,
                 lambda: "%r in the log:\n%s" % (text, self.log()))

    def wait_rule(self, name):
        """The newest decision is by this rule."""
        wait_for(lambda: self.log().rsplit("decision rule=", 1)[-1].startswith(name + " "), self.moment,
                 lambda: "rule %s; log:\n%s" % (name, self.log()))
