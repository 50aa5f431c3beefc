"""Marks: places in the cores that are reached only sometimes, and should be reached by tests at some time.

    sometimes("set an agent aside that had cost too many workers")

A mark says what has just happened, in words that occur once in all of the code. What sweeps of the simulator must
reach is the list of all marks: a rare path that no seed reaches any more is a path that nothing tests.
"""

import functools
import sys

sometimes = functools.partial(sys.audit, "hubless.sometimes")
"""Says that a rare thing has happened; the text is a literal.

It is an audit event of the interpreter, since a core may not keep state outside itself, nor know who counts: whoever
wants to listen adds an audit hook, and no module has to be shared. When nobody listens it costs some tens of ns, so it
has no place on what is done for every message.
"""
