#!/usr/bin/env python3
"""A kernel's contract is checked: the comment at the top of every shaders/NAME.comp and opencl/NAME.cl names its bindings and parameters;
its declarations, and its twin in the other language, must say the same. Prints each disagreement; exit status 1 if there is one.
usage: tests/contracts.py [FOLDER with shaders/ and opencl/]

What is compared, in order:
  bindings    number, name, direction (in, out; in, out), element type (f32, int; the `b` type where the comment says b; else act_t)
  parameters  the names after "push:", without what stands in parentheses, and the fields of the push block behind off[8]
  twins       both comments, up to the words for shared memory and include files; types of the parameters; the kernel's name
"""
import pathlib
import re
import sys

ALIASES = {"do": "d_o"}  # `do` is a keyword


def comment_of(text):
    lines = [line for line in text.splitlines() if not line.startswith("#version")]
    head = []
    for line in lines:
        if not line.startswith("//"):
            break
        head.append(line[2:].strip())
    return head


def promised(head):
    """(bindings, parameters, workgroup line) of a comment; None where a part is missing."""
    start = next((i for i, line in enumerate(head) if re.match(r"0 \w", line)), None)
    push = next((i for i, line in enumerate(head) if line.startswith("push:")), None)
    group = next((i for i, line in enumerate(head) if line.startswith("workgroup ")), None)
    if start is None or push is None or group is None:
        return None
    bindings = []
    text = "   ".join(head[start:push])
    for number, name, rest in re.findall(r"(?:^| {3})(\d) (\w+)(.*?)(?= {3}\d \w|$)", text):
        direction = "both" if re.search(r"\bin, out\b", rest) else "out" if re.search(r"\bout\b", rest) else "in" if re.search(r"\bin\b", rest) else "?"
        type_ = "float" if re.search(r"\bf32\b", rest) else "int" if re.search(r"\bint\b", rest) else "act2_t" if re.search(r"\bACT2\b", rest) else "act_t"
        bindings.append((int(number), ALIASES.get(name, name), direction, type_))
    words = re.sub(r"\([^()]*\)", "", " ".join(head[push:group])[len("push:"):])
    parameters = [w.strip() for w in words.split(",") if w.strip()]
    return bindings, parameters, head[group]


def fields_of(block):
    out = []
    for type_, names in re.findall(r"(\w+) ([^;]*);", block):
        out += [(type_, name.strip()) for name in names.split(",")]
    return out[1:] if out and out[0][1].startswith("off[") else None


def declared_glsl(text):
    direction = {"READ": "in", "WRITE": "out", "BOTH": "both"}
    bindings = [(int(b), name, direction[kind], type_) for kind, b, type_, name in re.findall(r"^(READ|WRITE|BOTH)\((\d+), (\w+), (\w+)\);", text, re.M)]
    push = re.search(r"^PUSH \{(.*?)\} p;", text, re.M | re.S)
    return sorted(bindings), fields_of(push.group(1)) if push else None


def declared_cl(text, name):
    push = re.search(r"^typedef struct \{(.*?)\} push;", text, re.M | re.S)
    kernel = re.search(r"__kernel\b[^;{]*?\bvoid (\w+)\(([^)]*)\)", text, re.S)
    if not kernel:
        return None, None, None
    bindings = []
    arguments = [a.strip() for a in kernel.group(2).split(",")]
    for i, argument in enumerate(arguments[:-1]):
        m = re.fullmatch(r"__global (const )?(\w+) \*(?:restrict )?(\w+)", " ".join(argument.split()))
        bindings.append((i, m.group(3), "in" if m.group(1) else "out", m.group(2)) if m else (i, argument, "?", "?"))
    if arguments[-1] != "const push p":
        bindings.append((-1, arguments[-1], "?", "?"))
    return bindings, fields_of(push.group(1)) if push else None, kernel.group(1)


def neutral(head):
    return [line.replace("local memory", "shared memory").replace("attn.h", "attn.glsl").replace("work-item", "invocation") for line in head]


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    wrong, kernels = [], 0

    def expect(file, what, says, has):
        if says != has:
            wrong.append(f"{file}: {what}: the comment says {says}, the code has {has}")

    names = sorted({p.stem for p in root.glob("shaders/*.comp")} | {p.stem for p in root.glob("opencl/*.cl")})
    for name in names:
        glsl, cl = root / "shaders" / f"{name}.comp", root / "opencl" / f"{name}.cl"
        if not glsl.exists() or not cl.exists():
            wrong.append(f"{name}: has no twin in {'shaders' if cl.exists() else 'opencl'}/")
            continue
        kernels += 1
        text, twin = glsl.read_text(), cl.read_text()
        head, twin_head = comment_of(text), comment_of(twin)
        contract = promised(head)
        if contract is None:
            wrong.append(f"{glsl.name}: the comment names no bindings, no push: or no workgroup")
            continue
        bindings, parameters, _ = contract
        if not head[0].startswith(f"{name}: "):
            wrong.append(f"{glsl.name}: the comment does not begin with the kernel's name")
        if neutral(head) != neutral(twin_head):
            wrong.append(f"{name}: the comments of the twins differ: " +
                         next((f"{a!r} and {b!r}" for a, b in zip(neutral(head), neutral(twin_head)) if a != b), "one is longer"))
        have, fields = declared_glsl(text)
        have_cl, fields_cl, function = declared_cl(twin, name)
        expect(glsl.name, "bindings", bindings, have)
        expect(cl.name, "bindings", [(n, m, "in" if d == "in" else "out", t) for n, m, d, t in bindings], have_cl)
        if fields is None or fields_cl is None:
            wrong.append(f"{name}: no push block that begins with uint off[8]")
            continue
        expect(glsl.name, "parameters", parameters, [f[1] for f in fields])
        if fields != fields_cl:
            wrong.append(f"{name}: the twins' parameters differ: {fields} and {fields_cl}")
        if function != name:
            wrong.append(f"{cl.name}: the kernel function is {function}")
    for line in wrong:
        print(line)
    print(f"{kernels} kernels, {len(wrong)} disagreements")
    return 1 if wrong or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
