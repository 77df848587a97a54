#!/usr/bin/env python3
"""A kernel's contract is checked: the comment at the top of every shaders/NAME.comp and opencl/NAME.cl names its bindings and parameters;
its declarations, and its twin in the other language, must say the same. Prints each disagreement; exit status 1 if there is one.
usage: tests/contracts.py LIST_VARIANTS [FOLDER with shaders/ and opencl/]      LIST_VARIANTS: the program of tests/list_variants.c

What is compared:
  bindings    number, name, direction (in, out; in, out), element type (f32, i32, of type ACT2, or a name that ends in _t; else act_t)
  parameters  the names after "push:", without what stands in parentheses, and the fields of the push block behind off[8]
  twins       both comments, up to the words for shared memory, invocations and include files; the parameters' types; the kernel's name
  memory      the bytes of shared memory in the comment, what either language declares, and what host/variants.def asks of the device,
              with the constants of each of its lines
"""
import pathlib
import re
import subprocess
import sys
import tempfile

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
    """(bindings, parameters, what stands behind them: groups, workgroup, memory) of a comment; None where a part is missing."""
    start = next((i for i, line in enumerate(head) if re.match(r"0 \w", line)), None)
    push = next((i for i, line in enumerate(head) if line.startswith("push:")), None)
    group = next((i for i, line in enumerate(head) if i > (push or 0) and re.match(r"workgroup |groups ", line)), None)
    if start is None or push is None or group is None:
        return None
    bindings = []
    text = "   ".join(head[start:push])
    for number, name, rest in re.findall(r"(?:^| {3})(\d) (\w+)(.*?)(?= {3}\d \w|$)", text):
        direction = "both" if re.search(r"\bin, out\b", rest) else "out" if re.search(r"\bout\b", rest) else "in" if re.search(r"\bin\b", rest) else "?"
        own = re.search(r"\b\w+_t\b", rest)
        type_ = own[0] if own else "float" if re.search(r"\bf32\b", rest) else "int" if re.search(r"\bi32|int\b", rest) else "act2_t" if "of type ACT2" in rest else "act_t"
        bindings.append((int(number), ALIASES.get(name, name), direction, type_))
    words = re.sub(r"\([^()]*\)", "", " ".join(head[push:group])[len("push:"):])
    parameters = [w.strip() for w in words.split(",") if w.strip()]
    return bindings, parameters, " ".join(head[group:])


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


# -- shared memory -----------------------------------------------------------------------------------------------------------------

SIZES = {"float": 4, "int": 4, "uint": 4, "vec4": 16, "float4": 16}


def value(expression, constants):
    """An integer expression of a comment ("4 RG CG") or of a declaration ("32u / DEPTH"), with the constants' values."""
    text = ""
    for word in re.findall(r"[A-Za-z_]\w*|\d+u?|[-+*/()]", expression):
        word = str(constants[word]) if word[0].isalpha() else "//" if word == "/" else word.rstrip("u")
        text += (" * " if re.search(r"[\w)]$", text) and re.match(r"[\w(]", word) else "") + word
    return eval(text, {"__builtins__": {}})  # digits, brackets and + - * / alone


def shared_declared(text, included, constants, word):
    """Bytes of the arrays that a kernel and what it includes declare with `word` (shared, __local)."""
    text = "\n".join(included[name] for name in re.findall(r'#include "(\S+)"', text) if name in included) + "\n" + text
    constants = dict(constants)
    for names in re.findall(r"^const uint (.*);", text, re.M): # derived ones; what is no plain arithmetic is no size
        for name, expression in re.findall(r"(\w+) = ([^,?=]+)(?=,|$)", names):
            constants[name] = value(expression, constants)
    for name, expression in re.findall(r"^#define (\w+) (\([^\n?]*\))$", text, re.M):
        if set(re.findall(r"[A-Za-z_]\w*", expression)) <= set(constants): constants[name] = value(expression, constants)
    total = 0
    for type_, names in re.findall(rf"^ *{word} (\w+) ([^;]*\]);", text, re.M):
        total += sum(SIZES[type_] * value(n, constants) for n in re.findall(r"\[(.*?)\]", names))
    return total


def shared_promised(text, included, constants):
    """(bytes in general, bytes on CPUs in OpenCL) of what a comment says of shared memory; None where it says nothing."""
    if "no shared memory" in text: return 0, 0
    m = re.search(r"shared memory (.*?) bytes", text)
    if m: return (value(m[1], constants),) * 2
    m = re.search(r"shared memory: attn\.glsl(?: \+ (\d+ \w+))?(?: \(on CPUs, in OpenCL, \+ (\d+ \w+)\))?;", text)
    if not m: return None
    tile = value(re.search(r"^// Shared memory (.*?) bytes", included["attn.glsl"], re.M)[1], constants)
    tile += value(m[1], constants) if m[1] else 0
    return tile, tile + (value(m[2], constants) if m[2] else 0)


def neutral(head):
    """A comment in the words of either language."""
    out = []
    for line in head:
        for a, b in (("local memory", "shared memory"), ("Local memory", "Shared memory"), ("attn.h", "attn.glsl"), ("a work-item", "an invocation"),
                     ("A work-item", "An invocation"), ("work-item", "invocation")):
            line = line.replace(a, b)
        out.append(line)
    return out


def needs_of(list_variants):
    """source -> [(constants, shared bytes asked of the device, the line's name)] of host/variants.def."""
    with tempfile.TemporaryDirectory() as folder:
        lines = subprocess.run([list_variants, folder, "--needs"], check=True, capture_output=True, text=True).stdout.splitlines()
    out = {}
    for line in lines:
        name, source, options, shared = line.split("\t")
        out.setdefault(source, []).append(({k: int(v) for k, v in re.findall(r"-D(\w+)=(\d+)", options)}, int(shared), name))
    return out


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    root = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).resolve().parent.parent)
    needs = needs_of(sys.argv[1])
    glsl_included = {f.name: f.read_text() for f in root.glob("shaders/*.glsl")}
    cl_included = {f.name: f.read_text() for f in root.glob("opencl/*.h")}
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
        bindings, parameters, rest = contract
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
        if name not in needs:
            wrong.append(f"{name}: no line of host/variants.def has it")
        for constants, asked, variant in needs.get(name, []):
            promised_bytes = shared_promised(rest, glsl_included, constants)
            if promised_bytes is None:
                wrong.append(f"{glsl.name}: the comment says nothing of shared memory")
                break
            on_gpu, on_cpu = promised_bytes
            rows = len(re.findall(r"^ *ROW_STAT\(\w+\)", twin, re.M)) # registers, but on CPUs a float4 for each of RG
            expect(glsl.name, f"shared memory of {variant}", on_gpu, shared_declared(text, glsl_included, constants, "shared"))
            expect(cl.name, f"local memory of {variant}", on_gpu, shared_declared(twin, cl_included, constants, "__local"))
            expect(cl.name, f"local memory of {variant} on CPUs", on_cpu, on_gpu + 16 * rows * constants.get("RG", 0))
            if asked != on_cpu:
                wrong.append(f"host/variants.def: {variant} asks for {asked} bytes of shared memory, the comment of {glsl.name} says {on_cpu}")
    for line in wrong:
        print(line)
    print(f"{kernels} kernels, {len(wrong)} disagreements")
    return 1 if wrong or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
