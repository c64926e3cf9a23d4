"""A function over many values, as map() has it, over processes of this machine or ranks of many: parpy's engine from Python.

    import parpy

    def square(x):
        return x * x

    if __name__ == "__main__":
        parpy.map(square, range(10))                              # a list
        for y in parpy.imap(square, range(10)):                   # one by one, as they come
            ...
        with parpy.Executor() as executor:                        # as concurrent.futures has it
            executor.submit(square, 3).result()
        parpy.map(square, range(10), launcher="mpirun -n 4")      # over ranks; not with the mpirun of MPICH, which gives
                                                                  # up when its input comes faster than it is read

This file is all that Python needs (3.8 or newer); it starts the program parpy, which is the one that `program=` says, or
$PARPY, or stands beside this file, or is found on the PATH.

Functions, values and answers are pickled. Functions and classes of a module are imported by the workers; those of a script,
too, so that what it runs stands under `if __name__ == "__main__":`. Those that are typed in a notebook, lambdas and
functions in functions travel where cloudpickle is installed.

An exception comes back as itself, with the item in its attribute `parpy_item`. Where a worker dies (a fault in a library,
os._exit, no memory), the items that it had are run again in smaller and smaller groups, until the one that kills is found,
which gets a WorkerDied; so what a function does beside its answer may be done twice then. What workers print comes out on
standard error.
"""

import array
import atexit
import binascii
import itertools
import mmap
import os
import pickle
import struct
import sys
import threading
import time
import weakref
from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError
from concurrent.futures import Executor as _Executor
from concurrent.futures import Future
from concurrent.futures import TimeoutError as _TimeoutError

__all__ = ["Error", "Executor", "WorkerDied", "imap", "map"]

_map = map
_WORK = 0.02  # seconds that a chunk is to take: so long that handing out does not matter, so short that a late one does not
_LEAST = 0.001  # the same of the last ones
_GROWTH = 16  # how many times as large as any that is known a chunk may be
_AHEAD = 3  # chunks in flight for each worker
_KEPT = 8  # chunks for each worker that may be sent before the first of them has been taken
_NAP = 0.05  # seconds after which it is seen that values have come, at the most
_GATHER = 0.01  # seconds after which what an iterator has given so far is sent
_PREPARED = "PARPY_PREPARED"  # the variable that says what there is to be prepared, before workers are forked
_VARIABLE = 100000  # bytes of a variable
_UNKNOWN_RANKS = 64  # workers that a launcher has started, where it does not say how many
_PIPE = 1 << 20  # bytes of a pipe, where the system allows it
_OUT_OF_BAND = 1 << 16  # bytes of an array that is not copied into a pickle
_THROUGH_PIPE = 1 << 18  # bytes of a pickle that travels through pipes on this machine, and over ranks: others are files
_THROUGH_RANKS = 2 << 20  # a line has 4 MiB at the most
_IN_HEAD = 1 << 16  # the same of a function
_FOR_ENDING = 10  # seconds that parpy has to end itself and what it has started
_MOST_SAID = 1 << 16  # characters of messages that are kept
_FOR_RECORD = 10  # seconds until it must be known which item has killed a worker
_SHARES = 16  # chunks for each worker, where it is not known what an item takes
_PARTS = 8  # into which a chunk is cut that has killed a worker


class Error(RuntimeError):
    """parpy itself has failed: it is not there, cannot be started, or has ended before its time."""


class WorkerDied(BrokenExecutor):
    """The process that worked on an item has died. `parpy_item`: the item; `exitcode`: its exit code, or minus the number of
    the signal that has killed it, as multiprocessing has it."""

    exitcode = None


class _RemoteTraceback(Exception):
    """The traceback in the worker, as the cause of an exception."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text

    def __str__(self):
        return self.text


# Values as bytes.
#
# A letter says how: q, d: whole numbers of 64 bits, or floats; p: a pickle; b: a pickle and its buffers. A value that
# is long is in a file, in capitals.

_HEAD = struct.Struct("<Q")


def _numbers(values):
    """A list of numbers as bytes, with its letter; None where it is something else."""
    kinds = set(_map(type, values)) if type(values) is list and values else ()
    if len(kinds) == 1:
        letter = {int: "q", float: "d"}.get(kinds.pop())
        if letter:
            try:
                return letter, memoryview(array.array(letter, values)).cast("B")
            except OverflowError:  # longer than 64 bits
                pass
    return None


def _buffers(value, dumps):
    """A pickle, with its letter; arrays that are large lie behind it, each at a multiple of 64 bytes."""
    buffers = []

    def keep(buffer):
        try:
            view = buffer.raw()
        except BufferError:  # in pieces
            return True
        if view.nbytes < _OUT_OF_BAND:
            return True
        buffers.append(view)
        return False

    data = dumps(value, keep)
    if not buffers:
        return "p", (data,)
    head = pickle.dumps([len(data)] + [view.nbytes for view in buffers])
    parts, at = [], 0
    for part in [_HEAD.pack(len(head)) + head, data] + buffers:
        parts += [bytes(-at % 64), part]
        at += -at % 64 + len(part)
    return "b", parts


def _unbuffered(memory):
    """What _buffers has made."""
    # Arrays may be written to.
    view = memoryview(bytearray(memory) if isinstance(memory, bytes) else memory)
    end = _HEAD.size + _HEAD.unpack_from(view)[0]
    lengths = pickle.loads(view[_HEAD.size : end])
    parts, at = [], end
    for length in lengths:
        at += -at % 64
        parts.append(view[at : at + length])
        at += length
    return pickle.loads(parts[0], buffers=parts[1:])


def _pack(value, dumps, folder, most):
    """A value as a word of a line, which may name a file in `folder`, and that file."""
    found = _numbers(value)
    letter, parts = (found[0], (found[1],)) if found else _buffers(value, dumps)
    if sum(_map(len, parts)) <= most:
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return letter.encode() + binascii.b2a_base64(data, newline=False), None
    try:
        return _file(letter, parts, folder)
    except OSError:  # memory is full, or the folder not there: disks may have room
        import tempfile

        return _file(letter, parts, tempfile.gettempdir())


def _file(letter, parts, folder):
    """The same in a file."""
    path = os.path.join(folder, "parpy-" + os.urandom(8).hex())
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for part in parts:
                file.write(part)
    except OSError:
        _unlink([path])
        raise
    return letter.upper().encode() + binascii.hexlify(os.fsencode(path)), path


def _unlink(paths):
    """Removes files, as far as they are there."""
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass


def _unpack(word, is_last):
    """The value of a word. A file is removed where this `is_last` to need it."""
    return _value(*_data(word, is_last))


def _data(word, is_last):
    """Letter and bytes of a word."""
    letter, data = word[:1].decode(), word[1:]
    if letter.islower():
        data = binascii.a2b_base64(data)
    else:
        path = os.fsdecode(binascii.unhexlify(data))
        try:
            with open(path, "rb") as file:
                # Its own: what the function writes there, nobody else sees.
                data = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        except FileNotFoundError as error:
            import socket

            why = "%s is not there on %s: what is large travels through files, in a folder that all nodes must see"
            raise Error(why % (path, socket.gethostname())) from error
        if is_last:
            _unlink([path])
    return letter.lower(), data


def _value(letter, data):
    """What these bytes stand for."""
    if letter in "qd":
        values = array.array(letter)
        values.frombytes(data)
        return values.tolist()
    return _unbuffered(data) if letter == "b" else pickle.loads(data)


# In workers. What stands in __main__ there is parpy's own; functions of the user's script are found when it has been
# imported, as multiprocessing does it.

_OF_SCRIPT = b"_main__"  # what a pickle has that names the script: __main__, or in workers __mp_main__
_GUARD = 'what a script runs must stand under if __name__ == "__main__":'
_main = None  # what the script is, as _script says
_replaced = None  # the module __main__ that was there
_imports = False  # the script is being imported
_known = {}  # the function that was used last, by its word


def _prepare(word):
    """Takes over what `import` finds, and where the script is."""
    global _main
    if _main is None:
        _main = _unpack(word, False)
        sys.path[:] = _main["path"]
        sys.argv[:] = _main["argv"]


def _prepare_host(word):
    """The same in the process that workers are forked from, and imports the script where it is wanted for sure."""
    _prepare(word)
    if _main["now"]:
        try:
            _import_script()
        except Exception:
            pass  # workers try again, and say why it cannot be


def _import_script():
    """Makes the script's functions those of __main__."""
    global _replaced, _imports
    if _replaced is not None or not _main["file"]:
        return
    import types

    path = _main["file"]
    module = types.ModuleType("__mp_main__")
    module.__file__, module.__package__ = path, _main["package"]
    # What refers to its globals does so still.
    _replaced = sys.modules["__main__"]
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    _imports = True
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
        exec(code, module.__dict__)
    except BaseException as error:
        sys.modules["__main__"], _replaced = _replaced, None
        if isinstance(error, SystemExit):
            raise RuntimeError("%s ends itself when it is imported, to find its functions; %s" % (path, _GUARD)) from error
        raise
    finally:
        _imports = False


def _function(word):
    """The function of a word; what may have a state is anew each time."""
    function = _known.get(word)
    if function is None:
        function = _loaded(word)
        _known.clear()
        if type(function) in (type(_function), type(len)):
            _known[word] = function
    return function


def _loaded(word):
    """The value of a word, for which the script is imported where it is named."""
    letter, data = _data(word, False)
    may_need = _replaced is None and _main["file"] and letter in "pb"
    if may_need and isinstance(data, bytes) and _OF_SCRIPT in data:
        _import_script()
    try:
        return _value(letter, data)
    except (AttributeError, ModuleNotFoundError) as error:
        if not may_need and _replaced is None or _OF_SCRIPT.decode() not in str(error):
            raise
        if _replaced is not None:
            why = "%s; it must be there when the script is imported, so not under if __name__ == \"__main__\":"
            raise type(error)(why % error) from error
        # In what is long it was not looked for.
        _import_script()
        return _value(letter, data)


def _dump(value, keep=None):
    """A pickle of an answer, whose class may have come by cloudpickle."""
    try:
        return pickle.dumps(value, 5, buffer_callback=keep)
    except Exception:
        if "cloudpickle" not in sys.modules:
            raise
        import cloudpickle

        return cloudpickle.dumps(value, 5, buffer_callback=keep)


def _whole(error):
    """A pickle of an exception; None where not the same would come out of it."""
    try:
        data = _dump(error)
        return data if type(pickle.loads(data)) is type(error) else None
    except Exception:
        return None


def _fault(error):
    """An exception as a value that can be sent: itself, where it can, and as what it is called, says, and where it was."""
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    said = traceback.format_exception_only(type(error), error)[-1].strip()
    error.__traceback__ = None
    return _whole(error), said, '\n"""\n%s"""' % text


def _answer(line):
    """Answers a line: its number, how, what there is to be prepared, a function, its arguments."""
    number, how, folder, most, prepared, function, arguments = line.encode("ascii").split(b" ")
    folder, most = os.fsdecode(binascii.unhexlify(folder)) or None, int(most)
    began = time.perf_counter()
    faults, answers = {}, []
    try:
        _prepare(prepared)
        function, arguments = _function(function), _loaded(arguments)
        if how == b"call":
            positional, named = arguments
            answers.append(function(*positional, **named))
        else:
            calls = _map(function, *([arguments] if type(arguments) is list else arguments))
            while True:
                try:
                    answers.extend(calls)
                    break
                except Exception as error:
                    # The call that has failed was the next of what is there.
                    faults[len(answers)] = _fault(error)
                    if how == b"first":
                        break
                    answers.append(None)
    except Exception as error:
        faults[len(answers)] = _fault(error)
        if how == b"each":
            # Those behind it cannot be asked for either.
            faults["rest"] = faults[len(answers)]
    try:
        word, _ = _pack(answers, _dump, folder, most)
    except Exception:
        for at, value in enumerate(answers):
            try:
                _dump(value)
            except Exception as error:
                faults.setdefault(at, _fault(error))
                answers[at] = None
        word, _ = _pack(answers, _dump, folder, most)
    took = time.perf_counter() - began
    faults = binascii.b2a_base64(pickle.dumps(faults), newline=False) if faults else b"-"
    return b"%s %.9f %s %s" % (number, took, word, faults)


# From here on: in the user's own process.

try:
    _FOLDER = os.getcwd()  # as the script was started, which may go elsewhere
except OSError:
    _FOLDER = "/"


def _script():
    """What workers find functions of __main__ in: the path of the script, and its package; two times None where it is no file."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    path = None if path is None else os.path.join(_FOLDER, path)
    if path is None or not os.path.isfile(path):
        return None, None
    return path, getattr(main, "__package__", None)


_CLOUDPICKLE = (
    "install cloudpickle (pip install cloudpickle), or put it into a module, a file NAME.py that is imported"
)


def _is_typed(function):
    """Was it typed after the script, or without one?"""
    while hasattr(function, "func") and hasattr(function, "keywords"):  # functools.partial
        function = function.func
    for _ in range(100):  # functools.wraps
        function = getattr(function, "__wrapped__", function)
    code = getattr(function, "__code__", None)
    return (
        getattr(function, "__module__", None) in ("__main__", "__mp_main__")
        and code is not None
        and not os.path.isfile(os.path.join(_FOLDER, code.co_filename))
    )


def _plain_dumps(value, keep):
    return pickle.dumps(value, 5, buffer_callback=keep)


class _Pickler(pickle.Pickler):
    """Refuses what workers will not find."""

    def reducer_override(self, value):
        name = getattr(value, "__module__", None)
        if isinstance(value, type) or getattr(value, "__code__", None) is not None:
            if name in ("__main__", "__mp_main__"):
                raise pickle.PicklingError("%s was typed in" % _named(value))
        return NotImplemented


def _named(value):
    name = getattr(value, "__qualname__", None) or repr(value)
    return "the class %s" % name if isinstance(value, type) else "the function %s" % name


def _strict_dumps(value, keep):
    import io

    out = io.BytesIO()
    _Pickler(out, 5, buffer_callback=keep).dump(value)
    return out.getvalue()


def _cloud_dumps(value, keep):
    try:
        import cloudpickle
    except ImportError:
        return None
    try:
        return cloudpickle.dumps(value, 5, buffer_callback=keep)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError("this cannot be sent to the workers: %s" % error) from error


class _Dumps:
    """Pickles what is sent, so that workers find it."""

    def __init__(self):
        self.file, self.package = _script()

    def __call__(self, value, keep):
        if self.file is None:
            data = _cloud_dumps(value, keep)
            if data is not None:
                return data
        try:
            return _strict_dumps(value, keep) if self.file is None else _plain_dumps(value, keep)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            data = _cloud_dumps(value, keep) if self.file is not None else None
            if data is not None:
                return data
            raise TypeError("this cannot be sent to the workers: %s; %s" % (error, _CLOUDPICKLE)) from error

    def function(self, function, keep):
        """The same of a function."""
        if not callable(function):
            raise TypeError("%.80r is no function" % (function,))
        if self.file is not None and _is_typed(function):
            data = _cloud_dumps(function, keep)
            if data is None:
                raise TypeError("%s was typed in, so that the workers do not find it; %s" % (_named(function), _CLOUDPICKLE))
            return data
        try:
            return self(function, keep)
        except TypeError as error:
            why = "%s cannot be sent to the workers: %s; %s"
            raise TypeError(why % (_named(function), error.__cause__ or error, _CLOUDPICKLE)) from error


def _guard():
    if _imports:
        raise RuntimeError("parpy was called by a script that a worker imports, to find its functions; " + _GUARD)


def _program(program):
    """Where the program parpy is."""
    if program:
        return os.fspath(program)
    if os.environ.get("PARPY"):
        return os.environ["PARPY"]
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parpy")
    if os.path.isfile(beside) and os.access(beside, os.X_OK):
        return beside
    folders = [os.path.join(folder, "parpy") for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    found = next((path for path in folders if os.path.isfile(path) and os.access(path, os.X_OK)), None)
    if found is None:
        raise Error("there is no program parpy on the PATH; say where it is with program=, or in the variable PARPY")
    return found


_counts = {}  # what _usable knows already


def _usable(program):
    """CPUs that may be used here, as parpy knows."""
    key = program, frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    if key not in _counts:
        _counts[key] = _count_usable(program)
    return _counts[key]


def _count_usable(program):
    import json
    import subprocess

    try:
        told = subprocess.run(
            [program, "--alone", "cpus", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        return max(1, json.loads(told.stdout)["usable"])
    except OSError as error:
        raise Error("cannot start %s: %s; say where parpy is with program=" % (program, error.strerror)) from error
    except (ValueError, KeyError, TypeError):
        raise Error("%s is no parpy that knows this Python file; `%s python-module` writes its own" % (program, program)) from None


def _ranks(words):
    """How many ranks a launcher starts, as far as it says."""
    count = 0
    for word, value in zip(words, words[1:] + [""]):
        name, equal, inside = word.partition("=")
        if name in ("-n", "-np", "--n", "--np", "--ntasks"):
            value = inside if equal else value
        elif word[:2] in ("-n", "-c") and word[2:].isdigit():
            value = word[2:]
        else:
            continue
        count += int(value) if value.isdigit() else 0
    tasks = os.environ.get("SLURM_NTASKS", "")
    return count or (int(tasks) if tasks.isdigit() else _UNKNOWN_RANKS)


class _Engine:
    """The program parpy at work: takes lines, and gives answers to them, in any order.

    A task is what has encode(engine), the words of its line behind the number; answered(values, faults, seconds); died(record);
    and broken(error), where the whole run has failed. These are called by a thread of the engine.
    """

    def __init__(self, workers=None, launcher=None, program=None):
        _guard()
        program = _program(program)
        if isinstance(launcher, str):
            import shlex

            launcher = shlex.split(launcher)
        launcher = list(launcher or ())
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ValueError("workers=%r: it is a whole number from 1" % (workers,))
        if not sys.executable:
            raise Error("nobody knows which interpreter this is: sys.executable is empty")
        if launcher:
            self.workers = _ranks(launcher) * (workers or 1)
        else:
            workers = workers or _usable(program)
            self.workers = workers
        # What workers find in the script comes back as what is there here.
        sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
        self.program, self.launcher, self.asked = program, launcher, workers
        self.process = self.listener = self.talker = None
        self.prepared = {}
        self.dumps = _Dumps()
        self.lock, self.starts = threading.Lock(), threading.Lock()
        self.waiting = {}
        self.sent = 0
        self.error = None
        self.is_over = self.is_ended = False
        self.said = deque()
        self.read_to = 0
        self.died = 0
        self.most = _THROUGH_RANKS if launcher else _THROUGH_PIPE
        # What all must see: in memory here, and over ranks in the current folder.
        place, name = (os.getcwd(), ".parpy-") if launcher else ("/dev/shm", "parpy-")
        name += os.urandom(8).hex()
        try:
            self.folder = os.path.join(place, name)
            os.mkdir(self.folder, 0o700)
        except OSError:
            import tempfile

            self.folder = os.path.join(tempfile.gettempdir(), name)
            os.mkdir(self.folder, 0o700)
        _engines.add(self)

    def start(self, prepared):
        """Starts parpy, which knows from the beginning what there is to be `prepared`."""
        import subprocess

        program, launcher, workers = self.program, self.launcher, self.asked
        path = os.path.abspath(__file__)
        words = launcher + [program] + ([] if launcher else ["--alone"])
        words += ["map", "--lines", "-", "--python", path + ":_answer", "--interpreter", sys.executable]
        words += ["--unordered", "--keep-going", "--schedule", "dynamic,1", "--answers", "text", "-o", "-"]
        words += ["--progress", "never", "--failed", os.path.join(self.folder, "failed.jsonl")]
        words += (["--threads"] if launcher else ["-j"]) + [str(workers)] if workers else []
        try:
            # In a session of its own: Ctrl-C is for this process, which ends the other.
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            environment = dict(os.environ, **{_PREPARED: prepared.decode()}) if len(prepared) < _VARIABLE else None
            self.process = subprocess.Popen(words, bufsize=1 << 18, start_new_session=True, env=environment, **pipes)
        except OSError as error:
            what = "the launcher %s" % words[0] if launcher else "%s" % program
            hint = "" if launcher else "; say where parpy is with program="
            raise Error("cannot start %s: %s%s" % (what, error.strerror, hint)) from error
        for pipe in self.process.stdin, self.process.stdout:
            _widen(pipe)
        self.listener = threading.Thread(target=self.listen, name="parpy-answers", daemon=True)
        self.talker = threading.Thread(target=self.talk, name="parpy-messages", daemon=True)
        self.talker.start()
        self.listener.start()

    def head(self, function):
        """The words of a line that do not hang on its arguments, what there is to be prepared and the function; and the file in
        which that is, if it is in one."""
        word, file = _pack(function, self.dumps.function, self.folder, _IN_HEAD)
        is_named = word[:1] == b"p" and _OF_SCRIPT in binascii.a2b_base64(word[1:])
        with self.starts:
            self.prepare(is_named)
        folder = binascii.hexlify(os.fsencode(self.folder))
        return b"%s %d %s %s" % (folder, self.most, self.prepared[is_named], word), file

    def prepare(self, is_named):
        """Has the words of what there is to be prepared, where the script `is_named` for sure or perhaps not; and starts."""
        if is_named not in self.prepared:
            main = {
                "path": [os.path.join(_FOLDER, path) for path in sys.path],
                "argv": sys.argv,
                "file": self.dumps.file,
                "package": self.dumps.package,
                "now": is_named,
            }
            self.prepared[is_named] = _pack(main, _plain_dumps, self.folder, _IN_HEAD)[0]
        if self.process is None:
            self.start(self.prepared[is_named])

    def send(self, task):
        """Sends a task; waits until there is room in the pipe. For one thread at a time."""
        words = task.words()
        with self.lock:
            error = self.error
            if error is None:
                number = self.sent
                self.sent += 1
                self.waiting[number] = task
        if error is not None:
            task.broken(error)
            return
        try:
            self.process.stdin.write(b"%d %s\n" % (number, words))
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass  # it has gone, and the listener knows why

    def listen(self):
        try:
            for line in self.process.stdout:
                if not line.endswith(b"\n"):
                    break
                if not line[:1].isdigit() and line != b"\n":
                    _print(line.decode("utf-8", "replace"))  # of a launcher
                elif line != b"\n":
                    number, took, word, faults = line.split()
                    with self.lock:
                        task = self.waiting.pop(int(number))
                    try:
                        faults = {} if faults == b"-" else pickle.loads(binascii.a2b_base64(faults))
                        values = _unpack(word, True)
                    except Exception as error:
                        values, faults = [], {0: error, "rest": error}
                    task.answered(values, faults, float(took))
                else:
                    self.died += 1
                    self.bury()
            self.ended(None)
        except BaseException as error:
            self.ended(error)

    def bury(self):
        """Tells tasks whose workers have died, which parpy writes to a list."""
        import json

        until = time.monotonic() + _FOR_RECORD
        while self.died > 0:
            try:
                with open(os.path.join(self.folder, "failed.jsonl"), "rb") as file:
                    file.seek(self.read_to)
                    new = file.read()
            except OSError:
                new = b""
            lines = new[: new.rfind(b"\n") + 1]
            self.read_to += len(lines)
            for line in lines.splitlines():
                record = json.loads(line)
                self.died -= 1
                with self.lock:
                    task = self.waiting.pop(record["row"])
                task.died(record)
            if not lines:
                if time.monotonic() > until:
                    raise Error("a worker has died, and parpy does not say on what item it has worked")
                time.sleep(0.001)

    def talk(self):
        """Passes on what is printed to standard error here, which may be a notebook's; keeps what parpy says of itself."""
        import re

        before = re.compile(r"^(no\. \d+|\S.*?%s:_answer): " % re.escape(os.path.basename(__file__)))
        for line in self.process.stderr:
            text = line.decode("utf-8", "replace")
            said = before.sub("", text, count=1)
            if said == text and text.startswith("parpy: "):
                self.said.append(text)
                while sum(_map(len, self.said)) > _MOST_SAID and len(self.said) > 1:
                    self.said.popleft()
                continue
            if not self.is_ended:
                _print(said)

    def ended(self, error):
        """There are no more answers."""
        if error is not None:
            self.end_process()
        code = self.process.wait()
        self.talker.join(1)
        said = [text for text in self.said if " no answer" not in text]
        if self.is_over and code in (0, 1):
            _print("".join(said))  # warnings
        elif error is None:
            error = Error("".join(said).strip() or "parpy has ended before its time, with exit code %s" % code)
        with self.lock:
            self.error = error or Error("it has been shut down")
            tasks = list(self.waiting.values())
            self.waiting.clear()
        for task in tasks:
            task.broken(self.error)

    def end_process(self):
        """Ends parpy, and what it has started, at once."""
        import signal
        import subprocess

        self.is_ended = True
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_FOR_ENDING)
            except subprocess.TimeoutExpired:
                try:
                    os.killpg(self.process.pid, signal.SIGKILL)
                except OSError:
                    pass
                self.process.wait()

    def close(self, at_once):
        """Ends the run: when all has been answered, or at once."""
        self.is_over = True
        _engines.discard(self)
        try:
            if self.process is not None:
                if at_once:
                    self.end_process()
                try:
                    self.process.stdin.close()
                except OSError:
                    pass  # it has gone
                streams = (self.listener, self.process.stdout), (self.talker, self.process.stderr)
                for thread, stream in streams:
                    # Some that were begun, and not this one, which may be collecting garbage.
                    if thread is None or thread.ident in (None, threading.get_ident()):
                        continue
                    thread.join(None if thread is self.listener else _FOR_ENDING)
                    if not thread.is_alive():
                        stream.close()
        except BaseException:
            self.end_process()
            raise
        finally:
            self.remove()

    def remove(self):
        try:
            _unlink(os.path.join(self.folder, name) for name in os.listdir(self.folder))
            os.rmdir(self.folder)
        except OSError:
            pass


def _print(text):
    """To standard error, as it is here now."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # nobody listens


def _widen(pipe):
    """Has the system keep more bytes in a pipe."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), 1031, _PIPE)  # F_SETPIPE_SZ
    except (ImportError, OSError):
        pass


def _remote(fault, item, number, what):
    """The exception of a worker, as one of this process."""
    if isinstance(fault, Exception):  # an answer that cannot be unpickled here
        return _of_item(fault, item, number, what)
    pickled, said, trace = fault
    error = None
    if pickled is not None:
        try:
            error = pickle.loads(pickled)
        except Exception:
            pass
    if not isinstance(error, BaseException):
        error = Error("an exception that cannot be pickled: " + said)
    error.__cause__ = _RemoteTraceback(trace)
    return _of_item(error, item, number, what)


def _of_item(error, item, number, what):
    """The same, with its item."""
    import reprlib

    try:
        error.parpy_item = item
        note = "%s: item %s: %s" % (what, number, reprlib.repr(item)) if number is not None else "%s: %s" % (what, reprlib.repr(item))
        error.__notes__ = getattr(error, "__notes__", []) + [note]
    except Exception:  # it takes no attributes, or its item has no text
        pass
    return error


def _dead(record, item, number, what):
    """The exception for an item that has killed its worker."""
    import signal

    code, number_of_signal = record["exit"], record["signal"]
    if number_of_signal:
        try:
            name = signal.Signals(number_of_signal).name
        except ValueError:
            name = "signal %d" % number_of_signal
        how = "killed by %s" % name
    elif code >= 0:
        how = "exit code %d" % code
    else:
        how = record["error"]
    import reprlib

    error = WorkerDied("a worker has died of %s (%s)" % (reprlib.repr(item), how))
    error.exitcode = -number_of_signal if number_of_signal else code
    return _of_item(error, item, number, what)


def _remove(task):
    """Removes the files with what it has sent."""
    _unlink(filter(None, task.files))
    task.files = []


class _Chunk:
    """Some items one after the other."""

    __slots__ = ("mapping", "start", "columns", "count", "files", "packed")

    def __init__(self, mapping, start, columns, count):
        self.mapping, self.start, self.columns, self.count = mapping, start, columns, count
        self.files = []
        self.packed = 0.0

    def item(self, at):
        values = tuple(column[at] for column in self.columns)
        return values[0] if len(values) == 1 else values

    def words(self):
        mapping, engine = self.mapping, self.mapping.engine
        began = time.perf_counter()
        is_list = len(self.columns) == 1 and type(self.columns[0]) is list
        value = self.columns[0] if is_list else self.columns
        word, file = _pack(value, engine.dumps, engine.folder, engine.most)
        self.files.append(file)
        self.packed = time.perf_counter() - began
        return b"%s %s %s" % (mapping.how, mapping.head, word)

    def begins(self):
        # What comes before a failure is wanted still.
        return self.mapping.error is None and not (self.mapping.has_failed and self.start > self.mapping.failed)

    def parts(self):
        size = -(-self.count // _PARTS)
        for begin in range(0, self.count, size):
            end = min(begin + size, self.count)
            columns = tuple(column[begin:end] for column in self.columns)
            yield _Chunk(self.mapping, self.start + begin, columns, end - begin)

    # Called by the engine.

    def answered(self, values, faults, took):
        _remove(self)
        mapping = self.mapping
        if "rest" in faults:
            rest = faults.pop("rest")
            faults = {**{at: rest for at in range(len(values), self.count)}, **faults}
            values += [None] * (self.count - len(values))
        errors = {at: _remote(fault, self.item(at), self.start + at, mapping.what) for at, fault in faults.items()}
        mapping.done(self, values, errors, took + self.packed)

    def died(self, record):
        _remove(self)
        if self.count > 1:
            self.mapping.again(self)
        else:
            error = _dead(record, self.item(0), self.start, self.mapping.what)
            self.mapping.done(self, [None], {0: error}, None)

    def broken(self, error):
        _remove(self)
        self.mapping.fail(error)


class _Source:
    """The values of some iterables, a few at a time."""

    def __init__(self, iterables):
        self.left = None  # how many there are, where that is known
        self.at = 0
        self.several = len(iterables) > 1
        self.columns = self.values = None
        if all(_map(_is_cut, iterables)):
            # Parts of them are the same, without looking at each value.
            self.columns = iterables
            self.left = min(_map(len, iterables))
        else:
            self.values = zip(*iterables) if self.several else iter(iterables[0])

    def take(self, count):
        """The next of them, `count` at the most, in columns, and how many they are: 0 at the end."""
        if self.columns is not None:
            count = min(count, self.left)
            begin, self.at, self.left = self.at, self.at + count, self.left - count
            return tuple(column[begin : begin + count] for column in self.columns), count
        rows, size, until = [], 1, time.perf_counter() + _GATHER
        while len(rows) < count:
            before = len(rows)
            rows.extend(itertools.islice(self.values, min(size, count - before)))
            if len(rows) == before or time.perf_counter() > until:
                break
            size *= 2
        return self.turned(rows), len(rows)

    def turned(self, rows):
        return tuple(_map(list, zip(*rows))) if self.several else (rows,)


class _Stream:
    """The values of a source that may take their time, taken from it by a thread of its own: those that are there need not wait
    for those that are not."""

    def __init__(self, source, mapping):
        self.source, self.mapping = source, mapping
        self.left = None
        self.there = deque()
        self.wanted = 1
        self.taken = 0
        self.has_ended = False
        self.error = None
        threading.Thread(target=self.pull, name="parpy-values", daemon=True).start()

    def pull(self):
        cond, size, count = self.mapping.cond, 1, 0
        try:
            while True:
                with cond:
                    cond.wait_for(lambda: self.mapping.error is not None or len(self.there) < self.wanted)
                    if self.mapping.error is not None:
                        break
                    size = min(size, self.wanted - len(self.there))
                began = time.perf_counter()
                # Each is there as soon as it has come.
                self.there.extend(itertools.islice(self.source.values, size))
                size = 2 * size if time.perf_counter() - began < _LEAST else 1
                with cond:
                    cond.notify_all()
                    before, count = count, self.taken + len(self.there)
                    if count == before:
                        break
        except BaseException as error:
            self.error = error
        with cond:
            self.has_ended = True
            cond.notify_all()

    def take(self, count):
        """As that of the source; None where nothing comes and there is something else to do."""
        mapping, nap = self.mapping, _LEAST
        with mapping.cond:
            self.wanted = count
            mapping.cond.notify_all()
            while len(self.there) < count and not self.has_ended:
                if mapping.repeated or mapping.has_ended():
                    return None, None
                if self.there and mapping.chunks < mapping.engine.workers:
                    break
                # Nobody tells of those that come while others are awaited.
                mapping.cond.wait(nap)
                nap = min(2 * nap, _NAP)
            rows = [self.there.popleft() for _ in range(min(count, len(self.there)))]
            self.taken += len(rows)
            if not rows and self.error is not None:
                raise self.error
        return self.source.turned(rows), len(rows)


def _is_cut(values):
    """Are its parts, by slices, the values that an iterator gives?"""
    if type(values) in (range, list, tuple):
        return True
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(values) is numpy.ndarray and values.ndim > 0 and not values.dtype.hasobject


class _Mapping:
    """A function over values: which of them are sent, and what has come of it."""

    def __init__(self, engine, function, iterables, chunksize, keeps_going, what):
        if not iterables:
            raise TypeError("%s() needs at least one iterable" % what)
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize=%r: it is a whole number from 1" % (chunksize,))
        self.engine, self.what = engine, what
        self.how = b"each" if keeps_going else b"first"
        self.keeps_going = keeps_going
        self.source = _Source(iterables)
        # Its file stays until the engine ends.
        self.head, _ = engine.head(function)
        self.chunksize = chunksize
        self.cond = threading.Condition()
        self.answers = {}  # by the number of the first item
        self.taken = 0  # items that have been taken, or are the next
        self.given = 0  # items that have been sent
        self.chunks = 0  # chunks in flight
        self.repeated = deque()
        self.calls = None  # who sends chunks, where that is an executor
        self.is_all = False
        self.has_failed = False
        self.failed = None  # the first item of the first chunk with a failure
        self.tail = None  # why there are no more values
        self.error = None  # why there are no more answers
        self.cost = None  # seconds that an item takes
        self.largest = 0
        self.kept = 0  # chunks that have been sent and not been taken

    # By who feeds.

    def size(self):
        if self.chunksize is not None:
            return self.chunksize
        if self.cost is None:
            return 1
        size = min(int(_WORK / max(self.cost, 1e-9)), self.largest * _GROWTH)
        if self.source.left is not None:
            least = min(int(_LEAST / max(self.cost, 1e-9)), size)
            size = min(size, max(self.source.left // (_AHEAD * self.engine.workers), least))
        return max(size, 1)

    def feed(self, most_kept=None):
        """Sends all, as there is room for it; ends when all is sent, or that is of no use any more."""
        while True:
            with self.cond:
                self.cond.wait_for(lambda: self.is_wanted(most_kept))
                if self.has_ended():
                    return
                chunk = self.repeated.popleft() if self.repeated else None
            if chunk is None:
                columns, count = self.source.take(self.size())
                if count is None:
                    continue  # there is something else to do
                if count == 0:
                    with self.cond:
                        self.is_all = True
                        self.cond.notify_all()
                    continue
                chunk = _Chunk(self, self.given, columns, count)
                self.given += count
            with self.cond:
                self.chunks += 1
                self.kept += 1
            try:
                self.engine.send(chunk)
            except BaseException:
                self.dropped()
                raise

    def dropped(self):
        """A chunk has not been sent."""
        with self.cond:
            self.chunks -= 1
            self.kept -= 1
            self.cond.notify_all()

    def ends_with(self, error):
        """There are no more values, because of an error."""
        with self.cond:
            self.is_all, self.tail = True, error
            self.cond.notify_all()

    def is_wanted(self, most_kept):
        if self.has_ended() or self.repeated:
            return True
        has_room = self.chunks < _AHEAD * self.engine.workers and (most_kept is None or self.kept < most_kept)
        return has_room and not self.is_all and not self.has_failed

    def has_ended(self):
        """Are no more chunks to be sent?"""
        if self.error is not None:
            return True
        return (self.is_all or self.has_failed) and not self.chunks and not self.repeated

    # By the engine.

    def done(self, chunk, values, errors, took):
        with self.cond:
            self.chunks -= 1
            self.answers[chunk.start] = (chunk.count, values, errors)
            if took is not None:
                cost = took / chunk.count
                self.cost = cost if self.cost is None or chunk.count > self.largest else (self.cost + cost) / 2
                self.largest = max(self.largest, chunk.count)
            if errors and not self.keeps_going:
                self.failed = min(chunk.start, self.failed) if self.has_failed else chunk.start
                self.has_failed = True
            self.cond.notify_all()

    def again(self, chunk):
        with self.cond:
            self.chunks -= 1
            self.kept -= 1
            parts = list(chunk.parts())
            if self.calls is None:
                self.repeated.extend(parts)
                self.cond.notify_all()
                return
            self.chunks += len(parts)
            self.kept += len(parts)
        self.calls.add(parts, True)

    def fail(self, error):
        with self.cond:
            if self.error is None:
                self.error = error
            self.cond.notify_all()

    # By who takes.

    def next(self, timeout=None):
        """The next answers, in order, and an error behind them, if there is one; None at the end."""
        with self.cond:
            is_there = self.cond.wait_for(self.is_ready, timeout)
            if not is_there:
                return [], _TimeoutError()
            found = self.answers.pop(self.taken, None)
            if found is None:
                error = self.error or self.tail
                return None if error is None else ([], error)
            count, values, errors = found
            self.taken += count
            self.kept -= 1
            self.cond.notify_all()
        if self.keeps_going:
            for at, error in errors.items():
                values[at] = error
        elif errors:
            first = min(errors)
            return values[:first], errors[first]
        return values, None

    def is_ready(self):
        if self.taken in self.answers or self.error is not None:
            return True
        return self.is_all and not self.chunks and not self.repeated and not self.answers


def map(function, *iterables, workers=None, launcher=None, chunksize=None, return_exceptions=False, program=None):
    """The list of function(x) for x of an iterable, or of function(x, y, …) for those of several, until the shortest ends.

    workers: processes that work [default: as many as there are CPUs that may be used]; with launcher= in each rank [default: 1].
    launcher: "mpirun -n 4", "srun -n 64": what starts parpy's ranks; by itself it works on this machine.
    chunksize: items that are handed out at once [default: such that they take some milliseconds].
    return_exceptions: exceptions stand in the list, in their places; else the first of them, in order, is raised, and no more is
        begun then.
    program: where parpy is.
    """
    engine = _Engine(workers, launcher, program)
    is_done = False
    try:
        mapping = _Mapping(engine, function, iterables, chunksize, return_exceptions, "parpy.map")
        mapping.feed()
        out = []
        while True:
            found = mapping.next()
            if found is None:
                break
            values, error = found
            out += values
            if error is not None:
                raise error
        is_done = True
        return out
    finally:
        engine.close(not is_done)


def imap(function, *iterables, workers=None, launcher=None, chunksize=None, return_exceptions=False, program=None):
    """An iterator of the same answers, in order, as they come. Values are taken from the iterables only some way ahead of what is
    taken from it, by a thread of its own. An exception that is raised ends it; so does its close()."""
    _guard()
    if not iterables:
        raise TypeError("imap() needs at least one iterable")
    engine = _Engine(workers, launcher, program)
    try:
        mapping = _Mapping(engine, function, iterables, chunksize, return_exceptions, "parpy.imap")
    except BaseException:
        engine.close(True)
        raise
    answers = _results(engine, mapping)
    next(answers)  # from now on its end is that of the engine, too
    return answers


def _results(engine, mapping):
    """None, and then the answers."""
    if mapping.source.values is not None:
        mapping.source = _Stream(mapping.source, mapping)

    def feed():
        try:
            mapping.feed(_KEPT * engine.workers)
        except BaseException as error:  # of an iterable, or in pickling
            mapping.ends_with(error)

    feeder = threading.Thread(target=feed, name="parpy-chunks", daemon=True)
    is_done = False
    try:
        feeder.start()
        yield None
        while True:
            found = mapping.next()
            if found is None:
                break
            values, error = found
            yield from values
            if error is not None:
                raise error
        is_done = True
    finally:
        mapping.fail(GeneratorExit())
        engine.close(not is_done)


class _Call:
    """One call, and its future."""

    __slots__ = ("engine", "future", "function", "arguments", "files")

    def __init__(self, engine, future, function, arguments):
        self.engine, self.future = engine, future
        self.function, self.arguments = function, arguments
        self.files = []

    def begins(self):
        return self.future.set_running_or_notify_cancel()

    def words(self):
        engine = self.engine
        head, file = engine.head(self.function)
        self.files.append(file)
        word, file = _pack(self.arguments, engine.dumps, engine.folder, engine.most)
        self.files.append(file)
        return b"call %s %s" % (head, word)

    def item(self):
        positional, named = self.arguments
        if named:
            return positional, named
        return positional[0] if len(positional) == 1 else positional

    # Called by the engine.

    def answered(self, values, faults, _):
        _remove(self)
        if faults:
            self.broken(_remote(faults[0], self.item(), None, "parpy.Executor"))
        else:
            self.end(self.future.set_result, values[0])

    def died(self, record):
        self.broken(_dead(record, self.item(), None, "parpy.Executor"))

    def broken(self, error):
        _remove(self)
        self.end(self.future.set_exception, error)

    def end(self, how, what):
        self.arguments = None
        how(what)


class _Calls:
    """What an executor has been asked for and its engine has not been told yet. A thread of its own tells it."""

    def __init__(self, engine):
        self.engine = engine
        self.cond = threading.Condition()
        self.pending = deque()
        self.flying = 0
        self.is_shut = False
        self.thread = None

    def add(self, tasks, is_first=False):
        with self.cond:
            if self.thread is None:
                _callers.add(self)
                self.thread = threading.Thread(target=self.run, name="parpy-calls", daemon=True)
                self.thread.start()
            if is_first:
                self.pending.extendleft(reversed(tasks))
            else:
                self.pending.extend(tasks)
            self.cond.notify_all()

    def run(self):
        most = _AHEAD * self.engine.workers
        while True:
            with self.cond:
                self.cond.wait_for(lambda: self.pending and self.flying < most or self.is_done())
                if not self.pending:
                    break
                task = self.pending.popleft()
                if not task.begins():
                    continue
                self.flying += 1
            flight = _Flight(self, task)
            try:
                self.engine.send(flight)
            except BaseException as error:
                flight.broken(error)
        self.engine.close(False)
        _callers.discard(self)

    def is_done(self):
        return self.is_shut and not self.pending and not self.flying

    def shut(self, drops):
        """Takes nothing more, and drops what has not begun where that is wanted."""
        with self.cond:
            self.is_shut = True
            if drops:
                for task in self.pending:
                    if isinstance(task, _Call) and task.future.cancel():
                        task.future.set_running_or_notify_cancel()
                    elif isinstance(task, _Chunk):
                        task.mapping.fail(CancelledError())
                self.pending.clear()
            self.cond.notify_all()
        if self.thread is None:
            self.engine.close(False)

    def end(self):
        """Ends all at once."""
        self.shut(True)
        self.engine.is_over = True
        self.engine.end_process()
        self.join()

    def join(self):
        if self.thread is not None:
            self.thread.join()


class _Flight:
    """A task that an engine has, of which others wait for the end."""

    __slots__ = ("calls", "task")

    def __init__(self, calls, task):
        self.calls, self.task = calls, task

    def words(self):
        return self.task.words()

    def answered(self, *what):
        self.land(self.task.answered, *what)

    def died(self, record):
        self.land(self.task.died, record)

    def broken(self, error):
        self.land(self.task.broken, error)

    def land(self, how, *what):
        try:
            how(*what)
        finally:
            with self.calls.cond:
                self.calls.flying -= 1
                self.calls.cond.notify_all()


class Executor(_Executor):
    """Calls functions in workers that stay, as concurrent.futures.ProcessPoolExecutor does.

    workers, launcher, program: as for map(). The workers are started with the first call.
    """

    def __init__(self, workers=None, launcher=None, program=None):
        self._engine = _Engine(workers, launcher, program)
        self._calls = _Calls(self._engine)
        self._end = weakref.finalize(self, self._calls.shut, False)
        self._end.atexit = False

    def _check(self):
        if self._calls.is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._engine.error is not None:
            raise self._engine.error

    def submit(self, fn, /, *args, **kwargs):
        """A Future of fn(*args, **kwargs)."""
        self._check()
        future = Future()
        self._calls.add([_Call(self._engine, future, fn, (args, kwargs))])
        return future

    def map(self, fn, *iterables, timeout=None, chunksize=None):
        """An iterator of fn(x, y, …) for the values of iterables, in order, all of which are taken at once.

        timeout: seconds from now until when an answer must be there.
        chunksize: calls that are handed out at once [default: such that each worker gets some].
        """
        self._check()
        until = None if timeout is None else time.monotonic() + timeout
        iterables = [values if _is_cut(values) else list(values) for values in iterables]
        mapping = _Mapping(self._engine, fn, iterables, chunksize, False, "parpy.Executor.map")
        mapping.calls, mapping.is_all = self._calls, True
        count = mapping.source.left
        size = chunksize or max(1, count // (_SHARES * self._engine.workers))
        starts = range(0, count, size)
        mapping.chunks = mapping.kept = len(starts)
        chunks = [_Chunk(mapping, start, *mapping.source.take(size)) for start in starts]
        if chunks:
            self._calls.add(chunks)
        return _in_time(mapping, until)

    def shutdown(self, wait=True, *, cancel_futures=False):
        """Ends the workers when all is done; those that have not begun need not be where `cancel_futures`."""
        self._end.detach()
        self._calls.shut(cancel_futures)
        if wait:
            try:
                self._calls.join()
            except BaseException:  # Ctrl-C
                self._calls.end()
                raise

    def __exit__(self, kind, error, trace):
        if kind is not None and not issubclass(kind, Exception):
            # Ctrl-C, or the end of the program: nobody waits.
            self._end.detach()
            self._calls.end()
            return False
        return super().__exit__(kind, error, trace)


def _in_time(mapping, until):
    """The answers, each of which must be there at a time."""
    try:
        while True:
            found = mapping.next(None if until is None else max(0, until - time.monotonic()))
            if found is None:
                return
            values, error = found
            yield from values
            if error is not None:
                raise error
    finally:
        mapping.fail(GeneratorExit())


_engines = set()  # that run
_callers = set()  # of executors that have been asked for something


@atexit.register
def _at_exit():
    """As in concurrent.futures, what an executor was asked for is done; iterators that were left end."""
    for calls in list(_callers):
        calls.shut(False)
        calls.join()
    for engine in list(_engines):
        engine.close(True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: (_engines.clear(), _callers.clear()))
if _PREPARED in os.environ:
    _prepare_host(os.environ.pop(_PREPARED).encode())
