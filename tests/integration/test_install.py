#!/usr/bin/python3
"""What make install puts into a folder is all that is needed: a program in C or C++ is compiled, with the flags that
pkg-config tells, and works; the supervisor runs a set; make uninstall takes everything away again.

All tests but the last share one installation, below a DESTDIR.
"""
import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile

import harness
from harness import LONGEST, ROOT, Cluster, Skipped
from test_scale import processes_of
from tim3_wire import PATIENT

PREFIX = "/opt/tim3"
CHECKS = ["-Wall", "-Wextra", "-Werror"]


def clean_environment(**more):
    """Nothing in it leads to the sources, or is meant for the make that runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIM3_", "MAKE", "MFLAGS"))}
    return dict(kept, **more)


def run(*command, code=0, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL, **more)
    assert done.returncode == code, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def make(target, destination):
    build = os.path.relpath(os.path.dirname(os.path.abspath(harness.BIN)), ROOT)
    run("make", target, f"BUILD={build}", f"PREFIX={PREFIX}", f"DESTDIR={destination}", cwd=ROOT,
        env=clean_environment())


def scratch():
    folder = tempfile.mkdtemp(prefix="t3-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def destination():
    folder = scratch()
    make("install", folder)
    return folder


def installed(*path):
    return os.path.join(destination() + PREFIX, *path)


def files_below(folder):
    return sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)


def needs_program(name):
    if not shutil.which(name):
        raise Skipped(f"there is no {name}")


def flags(*what):
    environment = clean_environment(PKG_CONFIG_PATH=installed("lib", "pkgconfig"), PKG_CONFIG_SYSROOT_DIR=destination())
    return run("pkg-config", *what, "tim3client", env=environment).stdout.split()


def build(compiler, source, *more):
    """A program that a compiler makes of the source, with the flags of pkg-config and no others."""
    if "/san-" in os.path.abspath(harness.BIN):
        raise Skipped("the library was built under a sanitizer, and wants its flags too")
    needs_program(compiler)
    language = "c++" if compiler == "g++" else "c"
    program = os.path.join(scratch(), "program")
    with open(f"{program}.{language}", "w") as out:
        out.write(source)
    run(compiler, *CHECKS, "-o", program, "-x", language, f"{program}.{language}", "-x", "none", *more,
        *flags("--cflags", "--libs"), cwd="/", env=clean_environment())
    return program


def example():
    """The program in the comment of tim3client.h."""
    with open(installed("include", "tim3", "tim3client.h")) as header:
        lines = header.read().splitlines()
    begin = lines.index("        #include <stdio.h>")
    end = lines.index("        }", begin)
    return "\n".join(line[8:] for line in lines[begin:end + 1]) + "\n"


def example_mints(compiler):
    program = build(compiler, example())
    with Cluster(assets={"TIM3": 6}) as cluster:
        refused = run(program, cluster.front(), code=1)
        assert refused.stdout.startswith("insufficient_funds: "), refused.stdout
        cluster.ctl("usda", "mint", "alice", "100")
    with Cluster(assets={"TIM3": 6}) as cluster:
        cluster.ctl("usda", "mint", "alice", "100")
        for _ in range(2):  # its request id is always the same
            assert run(program, cluster.front()).stdout == "alice has 12.5\n"
        assert cluster.ctl_json("balance", "alice")["balance"] == "12500000"
        assert cluster.ctl_json("tx", "alice", "order-17")["status"] == "completed"
        cluster.audit()


def test_program_in_c():
    example_mints("cc")


def test_program_in_cplusplus():
    example_mints("g++")


def header_files():
    """As a program includes them."""
    folder = installed("include", "tim3")
    return [os.path.relpath(path, folder) for path in files_below(folder)]


EMPTY = "int main (void)\n{\n    return 0;\n}\n"


def each_header_alone(compiler):
    for name in header_files():
        build(compiler, f"#include <{name}>\n{EMPTY}")


def test_each_header_alone_in_c():
    each_header_alone("cc")


def test_each_header_alone_in_cplusplus():
    each_header_alone("g++")


def test_folders_of_the_same_names_are_no_harm():
    """A program may have a base/ and a wire/ of its own, which come first."""
    own = scratch()
    for name in header_files():
        if "/" in name:
            os.makedirs(os.path.dirname(os.path.join(own, name)), exist_ok=True)
            with open(os.path.join(own, name), "w") as out:
                out.write("#error another\n")
    build("cc", f"#include <tim3client.h>\n#include <tim3client_ids.h>\n{EMPTY}", f"-I{own}")


def declared():
    """Functions that the headers declare and do not define."""
    found = set()
    for name in header_files():
        with open(installed("include", "tim3", name)) as header:
            text = re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S)
        found.update(re.findall(r"^(?!static|typedef|#|\s)[\w ]+[ *](tim3_\w+) \([^{};]*\)[^{};]*;", text, re.M))
    return found


def test_library_has_what_the_headers_declare():
    assert {"tim3_client_call", "tim3_amount_parse", "tim3_run_walk", "tim3_request_ids_next"} <= declared()
    called = "".join(f"    (void (*) (void)) {name},\n" for name in sorted(declared()))
    includes = "".join(f"#include <{name}>\n" for name in header_files())
    build("cc", f"{includes}void (*volatile all[]) (void) = {{\n{called}}};\nint main (void)\n{{\n    return !all[0];\n}}\n",
          "-Wno-cast-function-type")


def test_supervisor_runs_what_is_installed():
    data = os.path.join(scratch(), "data")
    environment = clean_environment(TIM3_DATA=data)
    supervisor = installed("bin", "tim3-supervisor")
    try:
        run(supervisor, "start", "--config", installed("share", "tim3", "tim3.cfg"), "--timeout", str(int(PATIENT)),
            cwd="/", env=environment)
        agents = json.loads(run(supervisor, "status", "--json", cwd="/", env=environment).stdout)["agents"]
        assert len(agents) >= 7 and {agent["state"] for agent in agents} == {"ready"}, agents
        for agent in agents:
            program = os.readlink(f"/proc/{agent['pid']}/exe")
            assert os.path.dirname(program) == installed("bin"), program
        tim3ctl = installed("bin", "tim3ctl")
        run(tim3ctl, "usda", "mint", "alice", "100", cwd="/", env=environment)
        run(tim3ctl, "mint", "alice", "12.5", cwd="/", env=environment)
        run(tim3ctl, "audit", "--timeout", str(int(PATIENT)), cwd="/", env=environment)
    finally:
        run(supervisor, "stop", cwd="/", env=environment)
    assert processes_of(data) == []


def test_texts_name_what_is_installed():
    """Not the sources, nor the folder that it was put together in."""
    for path in ("bin/tim3-supervisor", "bin/tim3-keygen", "lib/systemd/system/tim3.service", "lib/pkgconfig/tim3client.pc"):
        with open(installed(path)) as file:
            text = file.read()
        for wrong in (ROOT, destination(), "scripts/", "/usr/local", "@VERSION@"):
            assert wrong not in text, f"{path}: {wrong}"
        for named in re.findall(re.escape(PREFIX) + r"/[\w./-]+\w", text):
            assert os.path.exists(destination() + named), f"{path}: {named}"


def test_man_page():
    """It has no mistake, and everything that the help has."""
    needs_program("man")
    page = installed("share", "man", "man1", "tim3ctl.1")
    environment = clean_environment(LC_ALL="C.UTF-8", MANWIDTH="200")
    done = run("man", "--warnings", "-l", page, env=environment)
    assert done.stderr == "", done.stderr
    text = re.sub(".\x08", "", done.stdout)  # bold, in case it was struck twice
    usage = run(installed("bin", "tim3ctl"), "help").stdout
    commands = re.findall(r"^  ((?:usda |backup )?[a-z-]+)", usage[usage.index("\ncommands:"):usage.index("\noptions")], re.M)
    assert "mint" in commands and "usda mint" in commands, commands
    for command in commands:
        assert re.search(rf"^ +{command}\b", text, re.M), command
        for option in re.findall(r"^  (--[a-z-]+)", run(installed("bin", "tim3ctl"), "help", *command.split()).stdout, re.M):
            assert re.search(rf"^ +{option}\b", text, re.M), option
    for variable in ("TIM3_DATA", "TIM3_ENDPOINT", "TIM3_ASSET", "TIM3_COLLATERAL", "TIM3_CONFIG"):
        assert re.search(rf"^ +{variable}\b", text, re.M), variable
    assert all(re.search(rf"^ +{code} +\w", text, re.M) for code in range(4))


def test_uninstall_takes_that_away_and_nothing_else():
    folder = scratch()
    make("install", folder)
    others = [os.path.join(folder + PREFIX, path) for path in ("bin/other", "share/doc/tim3/notes", "lib/libother.a")]
    for path in others:
        open(path, "w").close()
    make("uninstall", folder)
    assert files_below(folder) == sorted(others), files_below(folder)
    for path in others:
        os.remove(path)
    make("uninstall", folder)  # again: what is not there is no error
    left = [place for place, _, _ in os.walk(folder) if "tim3" in os.path.relpath(place, folder + PREFIX)]
    assert not left, left


if __name__ == "__main__":
    harness.main()
