"""Answers rows with a Python function, for the workers of one node.

The module of the function is imported once. For each worker that connects, a process is forked (or this one serves the
first, where a module does not bear a fork), which is given windows of rows in memory that both share, and leaves its
answers there. What the function prints goes to its worker. Nothing is known here of files, of the order of answers, or of
other nodes.

Standard input holds one line of JSON, the configuration, and ends when the run does; the function has an empty one. One line of JSON is the reply, on
what was standard output: {"ready": true}, {"error": why the function cannot be used}, or {"taken": true} where there is a
host of this name.

The memory, n rows of c columns and of a answers, in words of 8 bytes:
    8 words     the row that is at hand, counted from 1, and when it was begun (monotonic, ns); the others are free
    c * n       columns: whole numbers, floats, or lengths of texts
    n           numbers of the rows
    a * n       answers, those to one row one behind the other: whole numbers, floats, lengths of texts
    2 * n       when each was begun (ns since 1970), and how long it took (ns)
    a * n bytes of which kind each answer is, and what is left of a word
    texts       of the columns, one column behind the other, then those of the answers
"""

import array
import errno
import inspect
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback

HEAD = 64  # bytes before the first column
ASK = struct.Struct("<QQQQ")  # rows, are they to be timed one by one, bytes of texts, bytes of memory
TELL = struct.Struct("<BxxxxxxxQQQQ")  # ANSWERS, from row, to row, where texts end, bytes of memory; or ENDED, status
ANSWERS, ENDED, REFUSED = b"AXR"
PORTION = 50 * 1000 * 1000  # nanoseconds after which answers are told, and not kept until the window is done
WHOLE, FLOAT, TEXT, NOTHING, TRUTH, FAULT = b"qdtnbx"  # kinds of answers
MOST_SAID = 64 << 10  # bytes of a message at the most
RDHUP = getattr(select, "POLLRDHUP", 0x2000)
TO_END = 1.0  # seconds that a process may take to end when its worker has gone


class Wrong(Exception):
    """The function cannot be used, for a reason that is the user's."""


class Failed:
    """In place of an answer: why there is none."""

    __slots__ = ("text",)

    def __init__(self, text):
        self.text = text


def reason(error):
    """What kind of exception it is, and the first line of what it says."""
    try:
        text = str(error)
    except Exception:  # its own text fails
        text = ""
    first = text.splitlines()[0] if text else ""
    return type(error).__name__ + (": " + first if first else "")


def told(error):
    """The reason of an exception, and behind it its traceback, as Python prints it, without the frames of this file."""

    def is_own(frame):
        return frame.f_globals is globals() or frame.f_code.co_filename.startswith("<frozen importlib")

    trace = error.__traceback__
    while trace is not None and is_own(trace.tb_frame):
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")
    except Exception:  # its own text fails
        text = ""
    return reason(error) + "\n" + text


def encode(text):
    """The bytes of a text; those that were no UTF-8 are as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


# What the function is, and how it is called.


def load(config):
    """The module, and the function in it."""
    import importlib
    import importlib.machinery
    import importlib.util

    path, title = config["file"], config["module"]
    if path is not None:
        if not os.path.isfile(path):
            raise Wrong("there is no file %s on %s" % (path, socket.gethostname()))
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
        title = os.path.splitext(os.path.basename(path))[0]
        loader = importlib.machinery.SourceFileLoader(title, path)
        spec = importlib.util.spec_from_file_location(title, path, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[title] = module
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        try:
            module = importlib.import_module(title)
        except ModuleNotFoundError as error:
            if not (title + ".").startswith(str(error.name) + "."):
                raise
            raise Wrong("there is no module %s for %s" % (error.name, sys.executable)) from None
    function = module
    for part in config["function"].split("."):
        if not hasattr(function, part):
            import difflib

            names = [name for name in dir(function) if name[0] != "_" and callable(getattr(function, name, None))]
            near = difflib.get_close_matches(part, names, 1)
            hint = "; did you mean %s?" % near[0] if near else "; there are: %s" % ", ".join(names) if names else ""
            raise Wrong("%s has no function %s%s" % (title, part, hint))
        function = getattr(function, part)
    if not callable(function):
        raise Wrong("%s of %s is no function, but of type %s" % (part, title, type(function).__name__))
    return module, function


def bind(function, name, columns):
    """How columns become arguments: the order of columns by place, or their names, and whether there is an `rng`."""
    places = list(range(len(columns)))
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C do not say
        return places, None, False
    kinds = inspect.Parameter
    parameters = signature.parameters
    takes_rng = "rng" in parameters and "rng" not in columns
    plain = [p.replace(annotation=p.empty) for p in parameters.values()]
    shown = "%s%s" % (name, signature.replace(parameters=plain, return_annotation=signature.empty))
    there = ", ".join(column or "one without a name" for column in columns)
    drawn = {"rng": None} if takes_rng else {}
    free = [
        p.name
        for p in parameters.values()
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) and p.name not in drawn
    ]
    named = [column for column in columns if column in parameters]
    takes_names = any(p.kind == kinds.VAR_KEYWORD for p in parameters.values())
    if not named and takes_names:
        # Values by place, where it takes some, or else all of them by their names.
        try:
            signature.bind(*columns, **drawn)
        except TypeError:
            named = columns
    if named:
        try:
            signature.bind(**dict.fromkeys(columns), **drawn)
        except TypeError as error:
            why = str(error)
        else:
            if not takes_rng and free[: len(columns)] == sorted(columns, key=lambda c: free.index(c) if c in free else -1):
                return [columns.index(parameter) for parameter in free[: len(columns)]], None, False
            return places, columns, takes_rng
        # Those whose names are in their places may be told by these.
        if any(free[at : at + 1] != [column] for at, column in enumerate(columns) if column in named):
            raise Wrong("%s cannot be called by the names of the columns, %s: %s" % (shown, there, why))
    try:
        signature.bind(*columns, **drawn)
    except TypeError as error:
        raise Wrong("%s cannot be called with the columns %s: %s" % (shown, there, error)) from None
    return places, None, takes_rng


# What it answers.


def kind_of(answer):
    """Kind of an answer, and its number or its bytes."""
    if getattr(answer, "ndim", None) == 0 and hasattr(answer, "item"):
        # A number of numpy.
        answer = None if type(answer).__name__ == "MaskedConstant" else answer.item()
    if answer is None:
        return NOTHING, b""
    if isinstance(answer, Failed):
        return FAULT, encode(answer.text)[:MOST_SAID]
    if isinstance(answer, bool):
        return TRUTH, int(answer)
    if isinstance(answer, int):
        if -(1 << 63) <= answer < 1 << 63:
            return WHOLE, int(answer)
        return TEXT, digits(answer)
    if isinstance(answer, float):
        return FLOAT, float(answer)
    if isinstance(answer, str):
        return TEXT, encode(answer)
    if isinstance(answer, (bytes, bytearray)):
        return TEXT, bytes(answer)
    if isinstance(answer, (tuple, list, dict)) and 0 < len(answer) <= 26:
        return FAULT, encode(suggestion(answer))
    what = "its answer, %.80s, is of type %s, and not a number, a text or None"
    return FAULT, encode(what % (repr(answer), type(answer).__name__))


def digits(number):
    """A whole number as text, however long."""
    try:
        return b"%d" % number
    except ValueError:  # longer than this Python writes by itself
        most = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            return b"%d" % number
        finally:
            sys.set_int_max_str_digits(most)


def taken(take, answer, *more):
    """What `take` makes of an answer, or why that fails: it may be of any class."""
    try:
        return take(answer, *more)
    except Exception as error:
        return Failed("its answer cannot be taken: " + told(error))


def several(answer, names):
    """The values of an answer that has so many."""
    if isinstance(answer, Failed):
        return [answer] + [None] * (len(names) - 1)
    if answer is None:
        return [None] * len(names)
    if hasattr(answer, "_asdict"):  # a named tuple
        named = answer._asdict()
        answer = named if any(name in named for name in names) else answer
    if hasattr(answer, "keys"):
        lacking = [name for name in names if name not in answer]
        if not lacking:
            return [answer[name] for name in names]
        why = "its answer has no %s, but %s" % (lacking[0], ", ".join(map(str, answer.keys())) or "nothing")
    elif len(names) == 1 and not isinstance(answer, (tuple, list)):
        return [answer]
    elif isinstance(answer, (tuple, list)) or getattr(answer, "ndim", 0) > 0:
        if len(answer) == len(names):
            return list(answer)
        why = "it has answered %s, and --answers names %d" % (counted(answer), len(names))
    else:
        what = "its answer, %.80s, is one value, and --answers names %d"
        why = what % (repr(answer), len(names))
    return [Failed(why)] + [None] * (len(names) - 1)


def counted(answer):
    return "1 value in a %s" % type(answer).__name__ if len(answer) == 1 else "%d values" % len(answer)


def suggestion(answer):
    """What to say of an answer that has several values, where they have no names."""
    kind = {int: "i64", float: "f64"}
    if hasattr(answer, "keys"):
        columns = ["%s=%s" % (name, kind.get(type(value), "text")) for name, value in answer.items()]
    else:
        columns = ["%s=%s" % (chr(ord("a") + k), kind.get(type(value), "text")) for k, value in enumerate(answer)]
    return "it has answered %s; give it names and types: --answers %s" % (counted(answer), ",".join(columns))


class Memory:
    """What this process shares with its worker."""

    def __init__(self, file):
        self.file = file
        self.size = 0
        self.bytes = None

    def map(self, size):
        """As large as it is now."""
        if size != self.size:
            self.size = size
            self.bytes = memoryview(mmap.mmap(self.file, size))

    def words(self, begin, count, kind):
        return self.bytes[begin : begin + 8 * count].cast(kind)

    def write(self, begin, data):
        """Puts bytes there, and makes room for them."""
        end = begin + len(data)
        if end > self.size:
            size = max(end, 2 * self.size) + 4095 & ~4095
            os.ftruncate(self.file, size)
            self.map(size)
        self.bytes[begin:end] = data
        return end


class Window:
    """Rows, and where their answers go."""

    def __init__(self, memory, types, names, count, texts):
        self.memory = memory
        self.types = types
        self.names = names  # those of several answers to a row; None where it is one
        self.count = count
        self.wide = 1 if names is None else len(names)
        self.numbers = HEAD + 8 * len(types) * count
        self.answers = self.numbers + 8 * count
        self.times = self.answers + 8 * self.wide * count
        self.kinds = self.times + 16 * count
        self.texts = self.kinds + (self.wide * count + 7 & ~7)
        self.end = self.texts + texts

    def columns(self):
        """The values of each column."""
        columns, at = [], self.texts
        for k, kind in enumerate(self.types):
            values = self.memory.words(HEAD + 8 * k * self.count, self.count, "d" if kind == "f64" else "q").tolist()
            if kind == "text":
                lengths, values = values, []
                for length in lengths:
                    values.append(str(self.memory.bytes[at : at + length], "utf-8", "surrogateescape"))
                    at += length
            columns.append(values)
        return columns

    def arrays(self, numpy):
        """The same as arrays, which lie in the memory; those of texts are made."""
        values = self.columns() if "text" in self.types else None
        dtypes = {"f64": "f8", "i64": "i8"}
        arrays = [
            numpy.array(values[k], dtype=object)
            if kind == "text"
            else numpy.frombuffer(self.memory.bytes, dtypes[kind], self.count, HEAD + 8 * k * self.count)
            for k, kind in enumerate(self.types)
        ]
        for column in arrays:
            # Where a call fails its rows are given again, in parts.
            column.flags.writeable = False
        return arrays

    def put(self, begin, answers):
        """Leaves the answers to rows from `begin` on in the memory."""
        if self.names is not None:
            rows = (taken(several, answer, self.names) for answer in answers)
            rows = (several(row, self.names) if isinstance(row, Failed) else row for row in rows)
            answers = [value for row in rows for value in row]
        begin, count = begin * self.wide, len(answers)
        kinds = set(map(type, answers))
        if len(kinds) == 1:
            kind = kinds.pop()
            code, letter = (WHOLE, "q") if kind is int else (FLOAT, "d") if kind is float else (None, None)
            if code is not None:
                try:
                    self.put_words(begin, array.array(letter, answers), code)
                    return
                except OverflowError:  # whole numbers that are longer than 64 bits
                    pass
        codes, words, texts = bytearray(count), array.array("q", bytes(8 * count)), []
        for at, answer in enumerate(answers):
            found = taken(kind_of, answer)
            codes[at], value = kind_of(found) if isinstance(found, Failed) else found
            if isinstance(value, bytes):
                texts.append(value)
                value = len(value)
            elif isinstance(value, float):
                value = struct.unpack("<q", struct.pack("<d", value))[0]
            words[at] = value
        self.put_words(begin, words, codes)
        self.end = self.memory.write(self.end, b"".join(texts))

    def put_words(self, begin, words, codes):
        """The same, of words that are of these kinds, behind so many others."""
        count = len(words)
        if not isinstance(codes, bytearray):
            codes = bytes((codes,)) * count
        self.memory.bytes[self.kinds + begin : self.kinds + begin + count] = codes
        self.memory.words(self.answers + 8 * begin, count, "Q" if words.typecode == "Q" else words.typecode)[:] = words

    def put_array(self, begin, answers, numpy):
        """The same, of an array of one answer to each row."""
        count, letter = len(answers), answers.dtype.kind
        if isinstance(answers, numpy.ma.MaskedArray):
            letter = "masked"
        code, dtype = {"f": (FLOAT, "f8"), "i": (WHOLE, "i8"), "b": (TRUTH, "i8")}.get(letter, (None, None))
        if code is None:
            self.put(begin, answers.tolist())
            return
        self.memory.bytes[self.kinds + begin : self.kinds + begin + count] = bytes((code,)) * count
        numpy.frombuffer(self.memory.bytes, dtype, count, self.answers + 8 * begin)[:] = answers


class Said:
    """In place of standard output and error: whole lines, each behind the number of the row that it is said of."""

    encoding, errors, newlines, closed, mode, name = "utf-8", "backslashreplace", None, False, "w", "<parpy>"
    line_buffering = write_through = True

    def __init__(self, server):
        self.server = server
        self.text = ""
        self.buffer = self

    def write(self, text):
        size = len(text)
        if not isinstance(text, str):
            text = bytes(text).decode("utf-8", "backslashreplace")
        lines = (self.text + text).split("\n")
        self.text = lines.pop()
        if lines:
            self.put(lines)
        return size

    def put(self, lines):
        mark = b"\x1e%d\x1f" % self.server.row()
        data = b"".join(mark + line.encode("utf-8", "backslashreplace") + b"\n" for line in lines)
        try:
            while data:
                data = data[os.write(2, data) :]
        except OSError:  # nobody listens
            pass

    def end(self):
        """Says what has no end of its line."""
        if self.text:
            lines, self.text = [self.text], ""
            self.put(lines)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    close = detach = flush

    def reconfigure(self, **_):
        pass

    def fileno(self):
        return 2

    def isatty(self):
        return False

    readable = seekable = isatty

    def writable(self):
        return True


class Server:
    """Serves one worker."""

    def __init__(self, connection, config, module, function, bound):
        self.connection = connection
        self.config = config
        self.module = module
        self.order, self.keywords, self.takes_rng = bound
        self.function = function
        self.process = os.getpid()
        self.out = []
        self.before = 0
        self.numbers = None

    def row(self):
        """The number of the row that is at hand."""
        at = self.before + len(self.out)
        return self.numbers[at] if self.numbers is not None and at < len(self.numbers) else 0

    def greet(self):
        """Takes what the worker sends first: the memory, where to write what is said, and variables. Is it a worker?"""
        files = array.array("i")
        hello, extra, _, _ = self.connection.recvmsg(1 << 16, socket.CMSG_SPACE(2 * files.itemsize))
        for level, kind, data in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                files.frombytes(data[: len(data) // files.itemsize * files.itemsize])
        if len(files) != 2:
            return False
        self.memory = Memory(files[0])
        os.dup2(files[1], 1)
        os.dup2(files[1], 2)
        os.close(files[1])
        os.environ.update(json.loads(hello.decode("utf-8", "surrogateescape")))
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = self.said = Said(self)
        return True

    def serve(self):
        """Answers windows until there are no more."""
        if not self.greet():
            return
        begin = getattr(self.module, "parpy_init", None)
        if callable(begin):
            try:
                begin()
            except Exception as error:
                self.said.end()
                why = "parpy_init has failed: " + told(error)
                self.connection.send(bytes((REFUSED,)) + encode(why)[: MOST_SAID - 1])
                return
        function = self.called()
        while True:
            message = self.connection.recv(ASK.size)
            if len(message) != ASK.size:
                return
            count, timed, texts, size = ASK.unpack(message)
            self.memory.map(size)
            window = Window(self.memory, self.config["types"], self.config["answers"], count, texts)
            self.numbers = self.memory.words(window.numbers, count, "Q")
            if self.config["vectorized"]:
                self.by_arrays(window, function, timed)
            elif timed:
                self.one_by_one(window, function)
            else:
                self.at_once(window, function)
            self.said.end()

    def check(self):
        """Ends a process that the function has forked, and that has come back from it: its parent answers."""
        if os.getpid() != self.process:
            os._exit(0)

    def called(self):
        """The function as it is called here: with values by place, behind the number of the row where it has an `rng`."""
        function, names = self.function, self.keywords
        if self.takes_rng:
            from numpy import array, uint64
            from numpy.random import Generator, Philox

            seed = self.config["seed"]

            def draws(number, *values):
                # Of a tuple with a number from 2^63 on numpy makes floats.
                rng = Generator(Philox(key=array((seed, number), dtype=uint64)))
                if names is None:
                    return function(*values, rng=rng)
                return function(**dict(zip(names, values)), rng=rng)

            return draws
        if names is not None:
            return lambda *values: function(**dict(zip(names, values)))
        return function

    def arguments(self, window):
        columns = window.columns()
        columns = [columns[k] for k in self.order]
        return [self.numbers.tolist()] + columns if self.takes_rng else columns

    def tell(self, window, begin):
        """Tells the worker of the answers from row `begin` on that are in `out`."""
        self.check()
        end = begin + len(self.out)
        window.put(begin, self.out)
        self.before, self.out = end, []
        self.connection.send(TELL.pack(ANSWERS, begin, end, window.end, self.memory.size))

    def at_once(self, window, function):
        """Answers a window of rows that are fast."""
        self.before, self.out = 0, []
        # A call that fails is the next of what is there, so that the others follow.
        answers = map(function, *self.arguments(window))
        while len(self.out) < window.count:
            try:
                self.out.extend(answers)
            except Exception as error:
                self.out.append(Failed(told(error)))
            else:
                if len(self.out) < window.count:
                    # For `map` that is the end of its values.
                    self.out.append(Failed("StopIteration"))
        self.tell(window, 0)

    def one_by_one(self, window, function):
        """Answers a window of rows each of which may take its time, or be the last that this process sees."""
        self.before, self.out = 0, []
        head = self.memory.words(0, 8, "Q")
        times = self.memory.words(window.times, 2 * window.count, "Q")
        clock, date = time.monotonic_ns, time.time_ns
        told_at = clock()
        begin = 0
        for at, values in enumerate(zip(*self.arguments(window))):
            times[2 * at] = date()
            head[1] = began = clock()
            head[0] = at + 1
            try:
                answer = function(*values)
            except Exception as error:
                answer = Failed(told(error))
            now = clock()
            times[2 * at + 1] = now - began
            self.out.append(answer)
            if now - told_at > PORTION:
                self.said.end()
                self.tell(window, begin)
                # It may be elsewhere now.
                head = self.memory.words(0, 8, "Q")
                head[0] = 0
                times = self.memory.words(window.times, 2 * window.count, "Q")
                begin, told_at = at + 1, clock()
        if begin < window.count:
            self.tell(window, begin)
        self.memory.words(0, 8, "Q")[0] = 0

    def columns_of(self, answer, count, numpy):
        """The arrays of an answer to so many rows: one, or as many as it has to have."""
        names = self.config["answers"]
        if names is None:
            columns = [answer]
        else:
            columns = several(answer, names)
            if isinstance(columns[0], Failed):
                raise Wrong(columns[0].text)
        columns = [numpy.asanyarray(column) for column in columns]
        for column in columns:
            if column.shape != (count,):
                what = "it has answered an array of shape %s to %d rows, and has to answer one value for each"
                raise Wrong(what % (column.shape, count))
        return columns

    def by_arrays(self, window, function, timed):
        """Answers a window with calls of a function of arrays."""
        import numpy

        self.before, self.out = 0, []
        arrays = window.arrays(numpy)
        arrays = [arrays[k] for k in self.order]
        parts = [(0, window.count)]
        while parts:
            begin, end = parts.pop()
            self.before = begin
            given = [column[begin:end] for column in arrays]
            head = self.memory.words(0, 8, "Q")
            date, began = time.time_ns(), time.monotonic_ns()
            head[1], head[0] = began, begin + 1
            try:
                answers = self.columns_of(function(*given), end - begin, numpy)
            except Wrong as error:
                window.put(begin, [Failed(str(error))] * (end - begin))
            except Exception as error:
                if end - begin == 1:
                    window.put(begin, [Failed(told(error))])
                else:
                    # The rows that fail are looked for: the others have answers.
                    middle = (begin + end) // 2
                    parts += [(middle, end), (begin, middle)]
            else:
                if len(answers) == 1:
                    window.put_array(begin, answers[0], numpy)
                else:
                    window.put(begin, list(zip(*(column.tolist() for column in answers))))
                if timed:
                    times = array.array("Q", (date, (time.monotonic_ns() - began) // (end - begin))) * (end - begin)
                    self.memory.words(window.times + 16 * begin, len(times), "Q")[:] = times
        self.check()
        self.connection.send(TELL.pack(ANSWERS, 0, window.count, window.end, self.memory.size))


class Host:
    """Forks a process for each worker, and tells it how that has ended."""

    def __init__(self, control, listener, serve):
        self.control = control
        self.listener = listener
        self.serve = serve
        self.connections = {}  # by process
        self.ends = {}  # when those are to have ended whose workers have gone
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.poll.register(listener, select.POLLIN)

    def run(self):
        """Runs until the run is over."""
        awake, wakes = os.pipe()
        for end in (awake, wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        self.poll.register(awake, select.POLLIN)
        is_over = False
        while not (is_over and (not self.connections or time.monotonic() >= until)):
            for file, _ in self.poll.poll(50 if is_over or self.ends else None):
                if file == self.control:
                    is_over, until = True, time.monotonic() + TO_END
                    self.poll.unregister(file)
                    continue
                if file == awake:
                    os.read(awake, 4096)
                elif file == self.listener.fileno():
                    self.accept()
                else:
                    self.give_up(file)
            self.bury()
            for process, end in list(self.ends.items()):
                if time.monotonic() >= end:
                    del self.ends[process]
                    os.kill(process, signal.SIGKILL)

    def accept(self):
        try:
            connection, _ = self.listener.accept()
        except OSError:
            # There may be no more files: some are closed when workers have gone.
            time.sleep(0.01)
            return
        if not is_own(connection):
            connection.close()
            return
        try:
            process = os.fork()
        except OSError as error:
            why = "no process can be started for a worker: %s" % error
            connection.send(bytes((REFUSED,)) + encode(why))
            connection.close()
            return
        if process == 0:
            self.be_served(connection)
        self.connections[process] = connection
        self.poll.register(connection, RDHUP)

    def be_served(self, connection):
        """In the process that was forked."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in self.connections.values():
            other.close()
        self.listener.close()
        self.connections.clear()
        os.close(self.control)
        self.serve(connection)
        sys.exit()

    def give_up(self, file):
        """The worker has gone: its process may end by itself, so that files that it has open are whole, or is ended."""
        for process, connection in self.connections.items():
            if connection.fileno() == file:
                self.poll.unregister(connection)
                self.ends[process] = time.monotonic() + TO_END

    def bury(self):
        """Tells of processes that have ended."""
        while self.connections:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            self.ends.pop(process, None)
            connection = self.connections.pop(process, None)
            if connection is not None:
                try:
                    self.poll.unregister(connection)
                except KeyError:
                    pass
                try:
                    connection.send(TELL.pack(ENDED, status, 0, 0, 0), socket.MSG_DONTWAIT)
                except OSError:  # it has gone
                    pass
                connection.close()


def is_own(connection):
    """Does it come from a process of this user?"""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", peer)[1] == os.getuid()


def main():
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    config = json.loads(sys.stdin.buffer.readline().decode("utf-8", "surrogateescape"))
    control, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def answer(**what):
        reply.write(json.dumps(what) + "\n")
        reply.close()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind("\0" + config["socket"])
    except OSError as error:
        answer(**({"taken": True} if error.errno == errno.EADDRINUSE else {"error": str(error)}))
        return

    try:
        module, function = load(config)
        bound = bind(function, config["function"], config["columns"])
        if bound[2] and config["seed"] is None:
            raise Wrong("its parameter rng wants a seed that is the same for all parts: --seed S")
        if bound[2] and config["vectorized"]:
            raise Wrong("a function of arrays has no parameter rng: which rows it is given at once hangs on the workers")
        if config["vectorized"] or bound[2]:
            try:
                import numpy
            except ImportError:
                what = "--vectorized" if config["vectorized"] else "the parameter rng of %s" % config["function"]
                raise Wrong("%s needs numpy, which %s does not have" % (what, sys.executable)) from None
    except Wrong as error:
        answer(error=str(error))
        return
    except BaseException as error:
        why, trace = told(error).split("\n", 1)
        answer(error="its module cannot be imported: " + why, trace=trace + "\n")
        return
    for stream in (sys.stdout, sys.stderr):
        # So that no process that is forked says it once more.
        stream.flush()
    # From now on workers find it.
    listener.listen(4096)
    answer(ready=True)

    def serve(connection):
        Server(connection, config, module, function, bound).serve()

    if config["fork"]:
        Host(control, listener, serve).run()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # What is to be done at the end, each of those has done that were forked.
        os._exit(0)
    else:
        connection, _ = listener.accept()
        while not is_own(connection):
            connection.close()
            connection, _ = listener.accept()
        serve(connection)


if __name__ == "__main__":
    main()
