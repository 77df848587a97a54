"""Would `ssa verify` notice? Small seeded errors in the kernels, each of which it must find.

usage: python3 tools/mutate [options]            in the source folder
  --ssa PATH        the command (default build/ssa)
  --seed N          which edits are drawn (default 1)
  --count N         how many of each language (default 60); every file and class gets its turn
  --vulkan ICD      driver file of the Vulkan device (default: lavapipe's), --opencl ICD likewise (default: PoCL's);
                    `none` leaves a language out
  --jobs N          at once (default 2)
  --only ID,...     those edits alone; --file PATH,... those files; --class NAME,... those classes
  --list            prints the edits that would be tried
  --check           compares the bits of the edits that are listed as equivalent with the original's, on odd, large and adversarial inputs
  --out FOLDER      writes mutants.md (the table) and mutants.log there, a line an edit
  --resume          with --out: what its mutants.log tells is not tried again
An edit that does not compile does not count; the next of its file and class stands in. A survivor is a hole in verify, unless
tools/mutate/equivalent says why it computes the same: `ID FILE: argument`, a line each. An id that no edit has is an error, and so is,
with --check, one whose bits differ from the original's. Exit status: 0 if at least 95 % of the others are killed (or all but one), 1 if not, 2 bad input, 77 nothing to run on.

Where errors are found: most by `ssa verify kernel` on llvmpipe and PoCL. Missing barriers: by that with the lanes reversed, by llvmpipe
with 4 lanes in step in place of 8 (LP_NATIVE_VECTOR_WIDTH=128), and in OpenCL by oclgrind --data-races.
"""

import argparse
import concurrent.futures
import datetime
import glob
import json
import os
import shutil
import sys
import tempfile
import threading
import time

import edits
import trial

HERE = os.path.dirname(os.path.abspath(__file__))
WANTED = 0.95


def enough(killed, survived):
    """Whether the share is reached; a sample too small to show it may have one survivor."""
    return killed > 0 and (survived <= 1 or killed >= WANTED * (killed + survived))



def options():
    p = argparse.ArgumentParser(add_help=False)
    p.add_argument("--help", "-h", action="store_true")
    for name in ("list", "check", "resume"):
        p.add_argument(f"--{name}", action="store_true")
    for name in ("only", "file", "class", "out"):
        p.add_argument(f"--{name}", default="")
    p.add_argument("--ssa", default="build/ssa")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=60)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--vulkan", default=next(iter(glob.glob("/usr/share/vulkan/icd.d/lvp_icd*.json")), "none"))
    p.add_argument("--opencl", default=next(iter(glob.glob("/etc/OpenCL/vendors/pocl.icd")), "none"))
    o = p.parse_args()
    if o.help:
        print(__doc__.strip())
        sys.exit(0)
    return o


def equivalent(known):
    """tools/mutate/equivalent as {id: argument}; known: ids of all edits there are of the languages at hand."""
    found = {}
    with open(f"{HERE}/equivalent") as f:
        for number, line in enumerate(f, 1):
            if not line.strip() or line.startswith("#"):
                continue
            head, colon, argument = line.partition(": ")
            words = head.split()
            if not colon or len(words) != 2 or not argument.strip():
                raise SystemExit(f"mutate: tools/mutate/equivalent:{number} is not `ID FILE: argument`")
            if words[1] in known and words[0] not in known[words[1]]:
                raise SystemExit(f"mutate: tools/mutate/equivalent:{number}: no edit of {words[1]} has the id {words[0]} any longer")
            found[words[0]] = argument.strip()
    return found


def lanes(o, work):
    found = []
    ssa = os.path.abspath(o.ssa)
    if o.vulkan != "none":
        found.append(trial.Lane(ssa, "GLSL", "vulkan", {"VK_DRIVER_FILES": o.vulkan, "VK_ICD_FILENAMES": o.vulkan}, work))
    if o.opencl != "none":
        found.append(trial.Lane(ssa, "OpenCL", "opencl", {"OCL_ICD_VENDORS": o.opencl}, work))
    if not found:
        print("neither lavapipe nor PoCL is here")
        sys.exit(77)
    return found


class Table:
    """What became of the edits, told as it happens; log: a file of lines of JSON, or None. earlier: rows of a run that was cut off."""

    def __init__(self, log, earlier):
        self.rows, self.log, self.earlier, self.lock, self.started = [], log, earlier, threading.Lock(), time.time()

    def add(self, edit, verdict, rung, why, seconds):
        row = {"verdict": verdict, "id": edit.id, "file": edit.file, "line": edit.line, "class": edit.kind, "edit": edit.words, "rung": rung,
               "seconds": round(seconds, 1), "why": why}
        line = f"{verdict:16} {edit.id} {edit.file}:{edit.line} {edit.kind}: {edit.words} [{rung}, {seconds:.1f} s]{': ' if why else ''}{why}"
        with self.lock:
            self.rows.append(row)
            print(line if len(line) < 260 else line[:257] + "...", flush=True)
            if self.log:
                print(json.dumps(row), file=self.log, flush=True)


def try_place(lane, place, table, same):
    """Tries an edit, or its stand-ins until one compiles."""
    edit, others = place
    while edit:
        start = time.time()
        old = table.earlier.get(edit.id)
        if old:
            table.add(edit, old["verdict"], old["rung"], old["why"], old["seconds"])
            if old["verdict"] != trial.INVALID:
                return
            with table.lock:
                edit = others.pop(0) if others else None
            continue
        verdict, rung, why = ("equivalent", "not tried", same[edit.id]) if edit.id in same else lane.attempt(edit)
        table.add(edit, verdict, rung, why, time.time() - start)
        if verdict != trial.INVALID:
            return
        with table.lock:
            edit = others.pop(0) if others else None


def check_place(lane, edit, table, same):
    start = time.time()
    where = lane.differs(edit)
    table.add(edit, "listed wrongly" if where else "equivalent", "bits", f"other bits: {where}" if where else same[edit.id], time.time() - start)


def summary(table, o, found, arguments):
    """The table as Markdown; whether all is well."""
    count = {}
    for r in table.rows:
        for kind in (r["class"], "all"):
            c = count.setdefault(kind, {})
            c[r["verdict"]] = c.get(r["verdict"], 0) + 1
    out = ["| class | made | killed | equivalent | survived |", "| --- | --- | --- | --- | --- |"]
    for kind in (*edits.CLASSES, "all"):
        c = count.get(kind, {})
        made = sum(n for v, n in c.items() if v != trial.INVALID)
        out.append(f"| {kind} | {made} | {c.get(trial.KILLED, 0)} | {c.get('equivalent', 0)} | {c.get(trial.SURVIVED, 0)} |")
    c = count.get("all", {})
    killed, survived = c.get(trial.KILLED, 0), c.get(trial.SURVIVED, 0)
    share = killed / (killed + survived) if killed + survived else 0
    wrong = c.get("listed wrongly", 0)
    files = len({r["file"] for r in table.rows})
    words = [f"{killed} of {killed + survived} that are not equivalent are killed: {100 * share:.1f} % (wanted: {100 * WANTED:.0f} %). "
             f"{c.get(trial.INVALID, 0)} more did not compile. {files} files.",
             f"Seed {o.seed}; {'; '.join(f'{x.language}: {x.description}' for x in found)}; {datetime.date.today()}; {sum(r['seconds'] for r in table.rows):.0f} s of trials, {o.jobs} at once; "
             f"`{' '.join(['python3 tools/mutate', *arguments])}`."]
    left = [f"- {r['file']}:{r['line']} {r['class']}: {r['edit']}" for r in table.rows if r["verdict"] in (trial.SURVIVED, "listed wrongly")]
    return "\n".join(out + [""] + words + (["", "Survivors:", ""] + left if left else [])) + "\n", enough(killed, survived) and not wrong


def main():
    o = options()
    os.chdir(os.path.dirname(os.path.dirname(HERE)))
    work = tempfile.mkdtemp(prefix="mutate.")
    log = None
    try:
        found = lanes(o, work)
        every = {}
        for lane in found:
            for file in lane.sources():
                every[file] = edits.edits(file, open(file).read())
        same = equivalent({f: {e.id for e in es} for f, es in every.items()})
        lane_of = {f: lane for lane in found for f in lane.sources()}
        pools = [e for es in every.values() for e in es]
        for name, key in (("only", "id"), ("file", "file"), ("class", "kind")):
            wanted = [w for w in getattr(o, name).split(",") if w]
            lost = [w for w in wanted if not any(getattr(e, key) == w for e in pools)]
            if lost:
                print(f"mutate: no edit has the {name if name != 'only' else 'id'} {lost[0]}", file=sys.stderr)
                return 2
            pools = [e for e in pools if not wanted or getattr(e, key) in wanted]
        if o.check:
            places = [(e, []) for e in pools if e.id in same]
        else:
            places = []
            for lane in found:
                mine = [e for e in pools if lane_of[e.file] is lane]
                places += edits.chosen(mine, o.seed, len(mine) if o.only else o.count)
        if o.list:
            for e, _ in places:
                print(f"{e.id} {e.file}:{e.line} {e.kind}: {e.words}")
            return 0
        if not o.check:
            for lane in found:
                files = {e.file for e, _ in places if lane_of[e.file] is lane}
                bad = lane.control(files) if files else None
                if bad:
                    print(f"mutate: the kernels fail without an edit: {bad}", file=sys.stderr)
                    return 1
        earlier = {}
        if o.out:
            os.makedirs(o.out, exist_ok=True)
            if o.resume and os.path.exists(f"{o.out}/mutants.log"):
                with open(f"{o.out}/mutants.log") as f:
                    earlier = {r["id"]: r for r in map(json.loads, f)}
            log = open(f"{o.out}/mutants.log", "w")
        table = Table(log, earlier)
        with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
            jobs = [pool.submit(check_place, lane_of[p[0].file], p[0], table, same) if o.check else pool.submit(try_place, lane_of[p[0].file], p, table, same)
                    for p in places]
            for j in jobs:
                j.result()
        text, well = summary(table, o, found, [a for a in sys.argv[1:] if a not in ("--out", o.out, "--ssa", o.ssa, "--resume")])
        print(text, end="")
        if o.out:
            with open(f"{o.out}/mutants.md", "w") as f:
                f.write("# Mutants: would `ssa verify` notice?\n\n" + text)
        if o.check:
            return any(r["verdict"] != "equivalent" for r in table.rows)
        return 0 if well else 1
    finally:
        if log:
            log.close()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
