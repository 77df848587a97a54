"""Small edits of kernel sources, as people make them by mistake.

No parser: GLSL and OpenCL C are close enough to be read as tokens, bracketed groups and statements. An edit that does not compile
is found out when it is tried, and does not count. What the kernels are, and who launches them, comes from `ssa verify kernel --list`.
"""

import hashlib
import re
from dataclasses import dataclass

CLASSES = ("operator", "index bound", "constant", "dropped scale", "barrier", "type width", "order", "missing write")

TOKEN = re.compile(
    r"(?P<blank>(?:\s|\\\n|//[^\n]*|/\*.*?\*/)+)"
    r"|(?P<number>0[xX][0-9a-fA-F]+u?|(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?f?|\d+u?)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><<=|>>=|<=|>=|==|!=|&&|\|\||\+\+|--|[-+*/%]=|<<|>>|##|.)", re.S)

FLOATS = {"float", "vec4", "float4"}
INTEGERS = {"uint", "int", "uvec4", "ivec4", "uint4", "int4", "bool", "void"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int  # offset in the source

    @property
    def end(self):
        return self.at + len(self.text)


@dataclass(frozen=True)
class Edit:
    file: str
    kind: str  # one of CLASSES
    start: int
    end: int
    new: str
    line: int
    id: str
    words: str  # "`old` -> `new`" for people

    def apply(self, source):
        return source[: self.start] + self.new + source[self.end :]


def fixed_ranges(source):
    """What is no code, or declares what the host knows: comments are blank tokens; here are directives, bindings and parameters."""
    ranges = []
    for m in re.finditer(r"^[ \t]*#[ \t]*(\w+)(?:[^\n\\]|\\\n|\\.)*", source, re.M):
        if m[1] != "define":
            ranges.append(m.span())
        else:  # a macro's body is code
            ranges.append((m.start(), re.compile(r"#[ \t]*define[ \t]+\w+(?:\([^)]*\))?").search(source, m.start()).end()))
    for m in re.finditer(r"^(?:layout|shared|READ|WRITE|BOTH|PUSH|typedef|const)\b", source, re.M):
        ranges.append((m.start(), statement_end(source, m.start())))
    for m in re.finditer(r"^\s*__local\b[^;]*;|__kernel\b[^{]*|^\w[\w ]*\([^;{}=]*\)\s*(?=\{)|__attribute__\s*\(\(.*?\)\)\)?", source, re.M):
        ranges.append(m.span())
    return ranges


def statement_end(source, at):
    depth = 0
    for i in range(at, len(source)):
        depth += source[i] in "({["
        depth -= source[i] in ")}]"
        if source[i] == ";" and not depth:
            return i + 1
    return len(source)


class Source:
    """A file as tokens that may be edited, with the groups and statements they form."""

    def __init__(self, file, text):
        self.file, self.text, self.opencl = file, text, file.endswith((".cl", ".h"))
        fixed = fixed_ranges(text)
        self.tokens = []
        for m in TOKEN.finditer(text):
            if m.lastgroup != "blank" and not any(a <= m.start() < b for a, b in fixed):
                self.tokens.append(Token(m.lastgroup, m[0], m.start()))
        self.inside, depth = [], 0  # whether a token is within round brackets: `;` there ends no statement
        for t in self.tokens:
            depth += t.text == "("
            self.inside.append(depth > 0)
            depth -= t.text == ")"
        self.floats, self.vectors, self.buffers = self.declared()

    def declared(self):
        """Names of float variables, those of vectors among them, and of global buffers."""
        floats, vectors = set(), set()
        for m in re.finditer(r"\b(float|vec4|float4)\s+(?!\*)([^;{)]*)", self.text):
            depth, piece = 0, ""
            for c in m[2] + ",":
                depth += c in "([{"
                depth -= c in ")]}"
                if c == "," and depth <= 0:
                    name = re.match(r"\s*(\w+)", piece)
                    if name:
                        floats.add(name[1])
                        if m[1] != "float":
                            vectors.add(name[1])
                    piece = ""
                else:
                    piece += c
        buffers = set(re.findall(r"^(?:READ|WRITE|BOTH)\(\d+, \w+, (\w+)\)", self.text, re.M))
        buffers |= set(re.findall(r"__global (?:const )?\w+ \*(\w+)", self.text))
        return floats, vectors, buffers

    def __getitem__(self, i):
        return self.tokens[i] if 0 <= i < len(self.tokens) else Token("sign", "", len(self.text))

    def span(self, i, k):
        """The text of tokens i .. k - 1."""
        return self.text[self[i].at : self[k - 1].end]

    def close(self, i):
        """The token that closes the bracket at i."""
        depth = 0
        for k in range(i, len(self.tokens)):
            depth += self[k].text in ("(", "[", "{")
            depth -= self[k].text in (")", "]", "}")
            if not depth:
                return k
        return i

    def open(self, i):
        """The token that opens the bracket closed at i."""
        depth = 0
        for k in range(i, -1, -1):
            depth += self[k].text in (")", "]", "}")
            depth -= self[k].text in ("(", "[", "{")
            if not depth:
                return k
        return i

    def after(self, i):
        """The operand that begins at i: its end (a token further), or i if there is none. name, p.name, name[..], name(..), 1.0, (..)"""
        if self[i].text == "(":
            return self.close(i) + 1
        if self[i].kind == "number":
            return i + 1
        if self[i].kind != "name":
            return i
        i += 1
        while self[i].text in (".", "[", "("):
            i = i + 2 if self[i].text == "." else self.close(i) + 1
        return i

    def before(self, i):
        """The operand that ends in front of i: where it begins, or i if there is none."""
        k = i - 1
        while self[k].text in (")", "]"):
            k = self.open(k) - 1
            if self[k].kind != "name":
                return k + 1 if self[k + 1].text == "(" else i
        if self[k].kind not in ("name", "number"):
            return i
        while self[k - 1].text == "." and self[k - 2].kind == "name":
            k -= 2
        return k

    def binary(self, i):
        """Whether the operator at i stands between two operands."""
        return self[i - 1].kind in ("name", "number") and self[i - 1].text != "return" or self[i - 1].text in (")", "]")

    def begins(self, i):
        """Whether a statement may begin at i."""
        if self.inside[i]:
            return False
        if self[i - 1].text in (";", "{", "}", "else", "") or self[i].at > self[i - 1].end and "#define" in self.text[self[i - 1].end : self[i].at]:
            return True
        if self[i - 1].text != ")":
            return "#define" in self.text[self.text.rfind("\n", 0, self[i].at) + 1 : self[i].at] and self[i - 1].at < self.text.rfind("\n", 0, self[i].at)
        return self[self.open(i - 1) - 1].text in ("if", "for", "while")

    def is_float(self, i, k):
        """Whether the operand of tokens i .. k - 1 is a float: a literal with a point, or ends in a float's name."""
        names = [t.text for t in self.tokens[i:k] if t.kind == "name"]
        if len(names) == 1 or self[i + 1].text == ".":
            return bool(names) and (names[0] in self.floats or self[i + 1].text == "." and names[1] in self.floats)
        if self[i + 1].text in ("[", "(") and names:
            return names[0] in self.floats or names[0] in ("exp", "sqrt", "load_act", "float", "load_act2")
        return k == i + 1 and self[i].kind == "number" and "." in self[i].text


def proposals(s):
    """(class, first token, token behind, replacement): every edit that this generator knows."""
    swap = {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "&&": "||", "||": "&&", "==": "!=", "!=": "==", "+=": "-=", "-=": "+=", "*=": "/=",
            ">>": "<<", "<<": ">>", "++": "--", "--": "++", "&": "|", "|": "&"}
    bound = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
    names = {"max": "min", "min": "max", "greaterThanEqual": "lessThanEqual", "lessThanEqual": "greaterThanEqual"}
    for i, t in enumerate(s.tokens):
        if t.text in swap and (s.binary(i) or t.text in ("++", "--")):
            yield "operator", i, i + 1, swap[t.text]
        elif t.text == "-" and not s.binary(i) or t.text == "!":
            yield "operator", i, i + 1, ""
        elif t.text in names and s[i + 1].text == "(":
            yield "operator", i, i + 1, names[t.text]
        elif t.text in bound:
            yield "index bound", i, i + 1, bound[t.text]
            if t.text in "<>":
                yield "operator", i, i + 1, "<>"["<>".index(t.text) - 1]
        if t.text in ("+", "-") and s.binary(i) and re.fullmatch("1u?", s[i + 1].text) and s[i + 2].text not in ("*", "/", "<<"):
            yield "index bound", i, i + 2, ""
        if t.text == "LANE" and s[i - 1].text == "=" or t.text in ("c0_", "d0_") and s[i - 1].text == "(":
            yield "index bound", i, i + 1, f"{t.text} + 1u"
        if t.kind == "number" and s[i - 1].text not in (".", "##"):
            for new in constants(t.text):
                yield "constant", i, i + 1, new
        yield from scales(s, i, t)
        yield from widths(s, i, t)
        yield from orders(s, i, t)
        if t.text == "BARRIER" and s[i + 1].text == ";":
            yield "barrier", i, i + 2, ";"
        elif t.text == "barrier" and s.span(i, i + 4).replace(" ", "") == "barrier();":
            yield "barrier", i, i + 4, ";"
        if t.kind == "name" and s.begins(i):
            yield from writes(s, i)


def constants(text):
    if "x" in text or "X" in text:
        digits = text.rstrip("u")
        yield hex(int(digits, 16) >> 1) + text[len(digits) :]
    elif re.fullmatch(r"\d+u?", text):
        digits = text.rstrip("u")
        yield str(int(digits) + 1) + text[len(digits) :]
        if int(digits) > 1:
            yield str(int(digits) // 2) + text[len(digits) :]
    else:
        digits = text.rstrip("f")
        if "e" in digits:
            yield digits.split("e")[0] + "e" + str(int(digits.split("e")[1]) // 10) + text[len(digits) :]
        else:
            yield ("1.0" if float(digits) == 0 else repr(float(digits) * 2)) + text[len(digits) :]


def scales(s, i, t):
    """A factor that is a float goes, with its operator."""
    if t.text == "*" and s.binary(i):
        before, after = s.before(i), s.after(i + 1)
        if before < i and s.is_float(before, i):
            yield "dropped scale", before, i + 1, ""
        if after > i + 1 and s.is_float(i + 1, after):
            yield "dropped scale", i, after, ""
    elif t.text == "/":
        after = s.after(i + 1)
        if after > i + 1 and s.is_float(i + 1, after):
            yield "dropped scale", i, after, ""
    elif t.text == "*=":
        end = next(k for k in range(i, len(s.tokens) + 1) if s[k].text in (";", ""))
        if s.is_float(i + 1, end):
            yield "dropped scale", s.before(i), end, ""


def widths(s, i, t):
    """Integers cut to 16 bits, floats to bf16's."""
    if t.text == "[" and s[i - 1].text in s.buffers:
        k = s.close(i)
        yield "type width", i + 1, k, f"({s.span(i + 1, k)}) & 0xffffu"
    if t.text in ("load_act", "store_act", "load_act2", "store_act2") and s.opencl and s[i + 1].text == "(" and s[i + 3].text == ",":
        depth, k = 0, i + 4
        while depth or s[k].text not in (",", ")"):
            depth += s[k].text in ("(", "[")
            depth -= s[k].text in (")", "]")
            k += 1
        yield "type width", i + 4, k, f"({s.span(i + 4, k)}) & 0xffffu"
    if t.text in ("uint", "int") and s[i + 1].text == "(" and not s.opencl:
        k = s.close(i + 1) + 1
        yield "type width", i, k, f"({s.span(i, k)} & 0xffff{'u' if t.text == 'uint' else ''})"
    if t.text in ("=", "+=") and s[i - 1].kind == "name" and s[i - 1].text in s.floats and s[i - 2].text != ".":
        depth, k = 0, i + 1
        while k < len(s.tokens) and (depth or s[k].text not in (",", ";", ")")):
            depth += s[k].text in ("(", "[")
            depth -= s[k].text in (")", "]")
            k += 1
        if k > i + 2:
            wide = "4" if s[i - 1].text in s.vectors else ""
            name = (f"as_float{wide}(as_uint{wide}", ")") if s.opencl else ("uintBitsToFloat(floatBitsToUint", ")")
            yield "type width", i + 1, k, f"{name[0]}({s.span(i + 1, k)}) & 0xffff0000u{name[1]}"


def orders(s, i, t):
    """Two operands, arguments, factors or statements change places."""
    if t.text in ("-", "/", "%", "<", ">") and s.binary(i):
        before, after = s.before(i), s.after(i + 1)
        if before < i and after > i + 1:
            yield "order", before, after, f"{s.span(i + 1, after)} {t.text} {s.span(before, i)}"
    if t.text == "*" and s[i + 2].text == "+" and s[i - 1].kind == s[i + 1].kind == s[i + 3].kind == "name" and s[i - 2].text in ("[", "("):
        if s[i + 4].text in ("]", ")"):
            yield "order", i - 1, i + 4, f"{s[i + 3].text} * {s[i + 1].text} + {s[i - 1].text}"
    if t.text == "?":
        after = s.after(i + 1)
        last = s.after(after + 1) if s[after].text == ":" else after
        if last > after + 1 and s[last].text in (")", ";", ",", "]"):
            yield "order", i + 1, last, f"{s.span(after + 1, last)} : {s.span(i + 1, after)}"
    if t.text in ("mix", "select", "where_upto", "where_from", "clamp", "vec4") and s[i + 1].text == "(":
        cuts, depth, end = [], 0, s.close(i + 1)
        for k in range(i + 2, end):
            depth += s[k].text in ("(", "[")
            depth -= s[k].text in (")", "]")
            if s[k].text == "," and not depth:
                cuts.append(k)
        if len(cuts) >= 2:  # the last two arguments
            yield "order", cuts[-2] + 1, end, f"{s.span(cuts[-1] + 1, end)}, {s.span(cuts[-2] + 1, cuts[-1])}"
    if t.kind == "name" and s.begins(i):
        first = simple_end(s, i)
        second = simple_end(s, first) if first else 0
        if second and dependent(s, i, first, second):
            yield "order", i, second, f"{s.span(first, second)} {s.span(i, first)}"


def simple_end(s, i):
    """Behind the `;` of the statement at i, or 0 where it is none that only computes, stores or waits."""
    if s[i].kind != "name" or s[i].text in ("for", "if", "else", "while", "return", "break", "continue", "shared"):
        return 0
    for k in range(i, len(s.tokens)):
        if s[k].text in ("{", "}"):
            return 0
        if s[k].text == ";":
            return k + 1
    return 0


def dependent(s, i, first, second):
    """Whether two statements share a name that one of them assigns, or one is a barrier; a declaration must stay in front of its use."""
    texts = [[t.text for t in s.tokens[a:b]] for a, b in ((i, first), (first, second))]
    if any(x[0] in ("barrier", "BARRIER") for x in texts):
        return texts[0][0] != texts[1][0]
    if texts[0][0] in FLOATS | INTEGERS or texts[1][0] in FLOATS | INTEGERS or texts[0][0] == texts[1][0]:
        return False
    assigned = [x[0] for x in texts if any(y in ("=", "+=", "-=", "*=") for y in x) or x[-2] in ("++", "--")]
    return any(a in texts[0] and a in texts[1] for a in assigned)


def writes(s, i):
    """A store into a buffer, shared memory or a running value goes."""
    if s[i].text in ("store_act", "store_act2", "STORE", "SET_STAT") or s[i].text.startswith("STORE_") or s[i].text == "PUT":
        k = s.close(i + 1) + 1
        yield "missing write", i, k, ";" if s[k].text != ";" else ""
        return
    k = s.after(i)
    if s[k].text in ("=", "+=") and s[i].text not in FLOATS | INTEGERS:
        end = simple_end(s, i)
        if end:
            yield "missing write", i, end, ";"


def edits(file, text):
    """Every edit of a file, in order. An edit's id does not change while its line, and the number of equal lines above it, stay."""
    s, found, seen = Source(file, text), [], set()
    for kind, first, behind, new in proposals(s):
        start, end = s[first].at, s[behind - 1].end
        if start == end or text[start:end] == new or (start, end, new) in seen:
            continue
        seen.add((start, end, new))
        begin = text.rfind("\n", 0, start) + 1
        line = text[begin : text.find("\n", begin)]
        number = text.count("\n", 0, start) + 1
        twin = sum(x.strip() == line.strip() for x in text.splitlines()[: number - 1])
        key = "\0".join((file, kind, line.strip(), str(twin), str(start - begin - (len(line) - len(line.lstrip()))), text[start:end], new))
        old = re.sub(r"\s*\\?\n\s*", " ", text[start:end])
        words = f"`{around(text, start, end)}`: `{old}` -> `{new.replace(chr(10), ' ').strip() or 'nothing'}`"
        found.append(Edit(file, kind, start, end, new, number, hashlib.sha1(key.encode()).hexdigest()[:10], words))
    return found


def around(text, start, end):
    """The line of an edit, cut to the neighbourhood."""
    begin, stop = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    line = re.sub(r"\s*\\?\n\s*", " ", text[max(begin, start - 50) : min(stop if stop >= 0 else len(text), end + 30)])
    return line.strip().rstrip("\\").strip()


def chosen(candidates, seed, count):
    """An endless-enough sequence of edits in which every file and class gets its turn: [(edit, its stand-ins)] for `count` places.

    The order within a file and class is a hash of seed and id, so that an edit of one kernel does not draw new lots for the others."""
    pools = {}
    for e in candidates:
        pools.setdefault((e.file, e.kind), []).append(e)
    for key, pool in pools.items():
        pool.sort(key=lambda e: hashlib.sha1(f"{seed} {e.id}".encode()).digest())
    files = sorted({f for f, _ in pools}, key=lambda f: hashlib.sha1(f"{seed} {f}".encode()).digest())
    of_file, of_kind, places = dict.fromkeys(files, 0), dict.fromkeys(CLASSES, 0), []
    while len(places) < count and any(pools.values()):
        kinds = [k for k in CLASSES if any(pools.get((f, k)) for f in files)]
        kind = min(kinds, key=lambda k: of_kind[k])
        able = [f for f in files if pools.get((f, kind))]
        file = min(able, key=lambda f: of_file[f])
        places.append((pools[file, kind].pop(0), pools[file, kind]))
        of_file[file] += 1
        of_kind[kind] += 1
    return places
