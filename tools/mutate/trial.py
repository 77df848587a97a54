"""Trying an edit: `ssa verify` on a copy of the kernels that has it, rung by rung until a rung fails."""

import glob
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile

KILLED, SURVIVED, INVALID = "killed", "survived", "does not compile"
CPU_SECONDS, WALL_SECONDS, MEMORY = 150, 400, 12 << 30  # of one run of ssa; a kernel that loops for ever dies of the first


class Lane:
    """A device for one language's kernels, and what verify runs there."""

    def __init__(self, ssa, language, device, environment, work):
        self.ssa, self.language, self.device, self.work = ssa, language, device, work
        self.folder = "shaders" if language == "GLSL" else "opencl"
        self.environment = dict(os.environ, OMP_WAIT_POLICY="passive", SSA_CACHE_DIR=os.environ.get("SSA_CACHE_DIR", f"{work}/cache"),
                                POCL_CACHE_DIR=os.environ.get("POCL_CACHE_DIR", f"{work}/pocl"),
                                MESA_SHADER_CACHE_DIR=f"{work}/mesa", XDG_RUNTIME_DIR=work, **environment)
        for name in ("SSA_KERNEL_DIR", "SSA_LANES", "SSA_LIMITS"):
            self.environment.pop(name, None)
        listing = self.run(["verify", "kernel", "--list", "--device", device], {})
        if listing.returncode:
            raise SystemExit(f"mutate: {listing.stdout.strip().splitlines()[-1]}")
        self.operations = {line.split()[0]: line.split()[1:] for line in listing.stdout.splitlines()}
        described = self.run(["verify", "ops", "--device", device, "--filter", "^fill f32 E=3$", "--json", f"{work}/{self.folder}.json"], {})
        try:
            self.description = json.load(open(f"{work}/{self.folder}.json"))["devices"][0]["description"]
        except (OSError, ValueError, LookupError):
            raise SystemExit(f"mutate: {device} does not run: {described.stdout.strip()}") from None

    def run(self, arguments, environment, wrap=()):
        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if not wrap:
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        try:
            return subprocess.run([*wrap, self.ssa, *arguments], env=dict(self.environment, **environment), stdin=subprocess.DEVNULL, text=True,
                                  errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=WALL_SECONDS, preexec_fn=limits)
        except subprocess.TimeoutExpired as late:
            return subprocess.CompletedProcess(late.cmd, -14, (late.stdout or b"").decode(errors="replace"), "")

    def sources(self):
        """Files of this language: kernels that the list names, and what they include."""
        ending = ".comp" if self.language == "GLSL" else ".cl"
        kernels = {f"{self.folder}/{name}{ending}" for name in self.operations}
        includes = set()
        for file in glob.glob(f"{self.folder}/*{ending}"):
            if file not in kernels:
                raise SystemExit(f"mutate: no operation launches {file}")
            includes |= self.included(file)
        return sorted(kernels | includes)

    def included(self, file):
        found = set()
        for name in re.findall(r'^#include "(\S+)"', open(file).read(), re.M):
            found |= {f"{self.folder}/{name}"} | self.included(f"{self.folder}/{name}")
        return found

    def users(self, file):
        """The kernels that are this file, or include it."""
        return sorted(k for k in self.operations if file in ({self.path(k)} | self.included(self.path(k))))

    def path(self, kernel):
        return f"{self.folder}/{kernel}{'.comp' if self.language == 'GLSL' else '.cl'}"

    def filter_of(self, kernels, dtype=r"\w+"):
        return f"^({'|'.join(sorted({o for k in kernels for o in self.operations[k]}))}) {dtype} "

    # -- rungs -------------------------------------------------------------------------------------------------------------------

    def rungs(self, edit, copy):
        """(name, arguments, environment, wrapper), the quick ones first. A kernel is tried as a user's; an include in all that have it."""
        users, base = self.users(edit.file), ["--device", self.device, "--first"]
        here, own = {"SSA_KERNEL_DIR": copy}, edit.file in map(self.path, self.operations)
        waits = edit.kind in ("barrier", "order")
        ops = ["verify", "ops", *base, "--filter", self.filter_of(users)]
        if own:
            kernel = ["verify", "kernel", f"{copy}/{edit.file}", "--as", users[0], *base]
            yield "kernel f32", kernel + ["--dtype", "f32"], {}, ()
        else:
            yield "ops f32", ops + ["--dtype", "f32"], here, ()
            yield "ops f32, reversed", ops + ["--dtype", "f32"], dict(here, SSA_LANES="reversed"), ()
            yield "ops f32, small", ops + ["--dtype", "f32", "--limits", "range=16384,groups=29"], here, ()
        if waits and self.language == "GLSL":  # llvmpipe runs 8 lanes in step, or 4; its cache takes the one's code for the other's
            narrow = {"LP_NATIVE_VECTOR_WIDTH": "128", "MESA_SHADER_CACHE_DIR": f"{self.work}/mesa128"}
            for lanes in ("", "reversed"):
                yield f"4 lanes in step {lanes}".strip(), ops + ["--dtype", "f32"], dict(here, SSA_LANES=lanes, **narrow), ()
        if waits and self.language == "OpenCL" and shutil.which("oclgrind"):
            tiny = self.filter_of(users, "f32") + r"(.*(E=(1|3|17|63)( |$)|R=(1|3) |M=(1|3) |T=(1|3|17) )|$)"
            yield "races", ["verify", "ops", *base, "--filter", tiny, "--dtype", "f32"], here, ("oclgrind", "--data-races")
        if edit.kind == "barrier":
            return  # the storage types and the larger sizes pass the same barriers
        if own:
            for dtype in ("bf16", "f16"):
                yield f"kernel {dtype}", kernel + ["--dtype", dtype], {}, ()
            yield "full", ops + ["--dtype", "f32", "--full"], here, ()
        else:
            yield "exact", ["verify", "exact", *ops[2:], "--dtype", "f32"], here, ()
            yield "ops bf16", ops + ["--dtype", "bf16"], here, ()
            yield "ops f16", ops + ["--dtype", "f16"], here, ()

    def copy_of(self, edit, parent):
        """The kernels' folder with the edit in it."""
        copy = tempfile.mkdtemp(dir=parent)
        shutil.copytree(self.folder, f"{copy}/{self.folder}", ignore=lambda _, names: [n for n in names if n.endswith((".c", ".md", ".cmake"))])
        if edit:
            with open(f"{copy}/{edit.file}", "w") as f:
                f.write(edit.apply(open(edit.file).read()))
        return copy

    def verdict(self, result, report):
        """What a run says: (KILLED, SURVIVED or INVALID; why). A status that is not 0 kills only with a reason: verify has others."""
        for line in result.stdout.splitlines():
            if "data race at" in line:
                return KILLED, line.strip()
        rows = [r for r in report.get("rows", []) if r["status"] in ("failed", "unsupported")]
        for r in rows:
            if re.search(r"kernel \w+ does not (compile|build)", r["reason"]):
                return INVALID, r["reason"]
        for r in rows:
            if r["status"] == "failed":
                return KILLED, f'{r["op"]} {r["dtype"]} {r["case"]}: {r["output"]}: {r["reason"]}'
        if result.returncode < 0:
            late = result.returncode in (-14, -24, -9)
            return KILLED, "hangs" if late else f"dies of signal {-result.returncode}"
        if result.returncode and not any(r["status"] == "ok" for r in report.get("rows", [])):
            raise SystemExit(f"mutate: verify ends with {result.returncode}: {(result.stdout.strip().splitlines() or ['nothing'])[-1]}")
        return SURVIVED, ""

    def attempt(self, edit):
        """(verdict, rung, why) of an edit."""
        copy, report = self.copy_of(edit, self.work), {}
        name, last = "", SURVIVED
        try:
            for name, arguments, environment, wrap in self.rungs(edit, copy):
                json_file = f"{copy}/report.json"
                result = self.run([*arguments, "--json", json_file], environment, wrap)
                try:
                    with open(json_file) as f:
                        report = json.load(f)
                    os.remove(json_file)
                except (OSError, ValueError):
                    report = {}
                last, why = self.verdict(result, report)
                if last != SURVIVED:
                    return last, name, why.replace(copy + "/", "")
            return SURVIVED, name, ""
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def control(self, files):
        """Without an edit the same cases must pass, or a kill says nothing: a reason, or None."""
        kernels = sorted({k for f in files for k in self.users(f)})
        copy = self.copy_of(None, self.work)
        try:
            wanted = ["--filter", self.filter_of(kernels), "--dtype", "f32"]
            result = self.run(["verify", "ops", "--device", self.device, *wanted], {"SSA_KERNEL_DIR": copy})
            if result.returncode:
                return result.stdout.strip().splitlines()[-1]
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return None

    # -- equivalence -------------------------------------------------------------------------------------------------------------

    def bits(self, kernels, environment):
        """The bits of every output over odd, large and adversarial inputs."""
        wanted, found = ["--device", self.device, "--filter", self.filter_of(kernels)], {}
        stress = self.filter_of(kernels)
        for mode in (["ops", "--full", *wanted], ["ops", "--seed", "7", *wanted], ["exact", *wanted],
                     ["stress", "--device", self.device, "--filter", stress, "--cases", "400"]):
            file = f"{self.work}/bits.{os.getpid()}.json"
            self.run(["verify", *mode, "--json", file], environment)
            with open(file) as f:
                for r in json.load(f)["rows"]:
                    found[" ".join((*mode[:2], r["op"], r["dtype"], r["case"], r["variant"], r["output"]))] = (r["status"], r.get("bits"))
            os.remove(file)
        return found

    def differs(self, edit):
        """The first output whose bits are not the original's, or None."""
        kernels, copy = self.users(edit.file), self.copy_of(edit, self.work)
        try:
            ours, theirs = self.bits(kernels, {}), self.bits(kernels, {"SSA_KERNEL_DIR": copy})
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        if not any(bits for _, bits in ours.values()):
            return "no output has bits"
        return next((k for k in ours if ours[k] != theirs.get(k)), None)
