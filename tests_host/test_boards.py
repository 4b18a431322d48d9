"""boards/: partition tables that a chip accepts, settings that ESP-IDF knows, and what
MicroPython's build makes of both."""

import csv
import json
import re
import shutil
import subprocess

import pytest

from cistern_tools.image import partitions
from net_support import missing, program
from support import ROOT

BOARDS = ROOT / "boards"
TABLES = sorted(BOARDS.glob("*/partitions*.csv"))
OWN = sorted(p.parent for p in BOARDS.glob("*/mpconfigboard.cmake"))
BUILDS = [
    (board, variant)
    for board in OWN
    for variant in (
        "", *sorted(p.stem.split("_", 1)[1] for p in board.glob("mpconfigvariant_*.cmake"))
    )
]
MB = 1024 * 1024
FIRST_FREE = 0x9000  # below it: bootloader and the table itself
SECTOR = 0x1000
APP_PAGE = 0x10000  # applications are mapped into memory in pages of 64 KiB

# Stock ESP32_GENERIC v1.25.0: 1,640,800 bytes of application. Cistern frozen: 137,400 bytes (see
# docs/FIRMWARE.md); the rest is for what both will grow by.
SMALLEST_APP = 1_640_800 + 137_400 + 128 * 1024

# Chips: ESP-IDF's name, where the bootloader is (esptool's documentation, "Image layout").
BOOTLOADER = {"esp32": "0x1000", "esp32s3": "0", "esp32c3": "0"}

# The settings of ESP-IDF (v5.2 to v5.5) that boards may use, what they take, and where ESP-IDF
# defines them: a name that is misspelt there is ignored without an error.
BOOL, NUMBER = r"[yn]", r"\d+"
SETTINGS = {
    "CONFIG_MBEDTLS_SSL_ALPN": BOOL,  # components/mbedtls/Kconfig
    "CONFIG_FREERTOS_HZ": NUMBER,  # components/freertos/Kconfig: 1 to 1000
    "CONFIG_ESPTOOLPY_FLASHSIZE_4MB": BOOL,  # components/esptool_py/Kconfig.projbuild
    "CONFIG_ESPTOOLPY_FLASHSIZE_8MB": BOOL,  # components/esptool_py/Kconfig.projbuild
    "CONFIG_COMPILER_OPTIMIZATION_PERF": BOOL,  # Kconfig
    "CONFIG_COMPILER_OPTIMIZATION_SIZE": BOOL,  # Kconfig
    "CONFIG_PARTITION_TABLE_CUSTOM": BOOL,  # components/partition_table/Kconfig.projbuild
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME": r'".+"',  # the same
}


def name_of(path):
    return f"{path.parent.name}-{path.stem}"


def rows(table):
    lines = [x for x in table.read_text().splitlines() if not x.startswith("#")]
    return [[cell.strip() for cell in row] for row in csv.reader(lines)]


def settings(text):
    """{name: value} of an sdkconfig; of several lines for a name the last one counts."""
    pairs = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.split("=", 1)
            pairs[name] = value
    return pairs


@pytest.mark.parametrize("table", TABLES, ids=name_of)
def test_partitions_do_not_overlap_and_are_aligned(table):
    end = FIRST_FREE
    for name, kind, _, offset, size in rows(table):
        at, n = int(offset, 0), int(size, 0)
        assert at >= end, f"{name} begins before the one above ends"
        assert at % (APP_PAGE if kind == "app" else SECTOR) == 0, f"{name} is not aligned"
        assert n and n % SECTOR == 0, f"{name} does not end with a sector"
        end = at + n


@pytest.mark.parametrize("table", TABLES, ids=name_of)
def test_the_table_that_a_bootloader_reads_is_the_same(table):
    read = partitions.read_csv(table.read_text(), str(table))
    assert partitions.decode(partitions.encode(read)) == read
    assert [(p.label, p.offset, p.size) for p in read] == [
        (name, int(offset, 0), int(size, 0)) for name, _, _, offset, size in rows(table)
    ]


@pytest.mark.parametrize("table", TABLES, ids=name_of)
def test_what_every_board_has(table):
    by_name = {row[0]: row for row in rows(table)}
    assert len(by_name) == len(rows(table))
    assert by_name["capture"][1:3] == ["data", "0x40"]
    assert int(by_name["capture"][4], 0) >= MB
    assert by_name["nvs"][1:3] == ["data", "nvs"]
    assert by_name["vfs"][1] == "data"
    apps = [int(row[4], 0) for row in rows(table) if row[1] == "app"]
    assert min(apps) >= SMALLEST_APP
    if "ota" in table.stem:
        assert {"ota_0", "ota_1"} < set(by_name) and len(set(apps)) == 1
        # Two sectors that say which one starts (ESP-IDF, "OTA Updates").
        assert by_name["otadata"][1:3] == ["data", "ota"]
        assert int(by_name["otadata"][4], 0) == 2 * SECTOR
    else:
        assert "factory" in by_name and len(apps) == 1


def test_two_applications_and_a_log_need_more_than_4_mb():
    """Why no board with 4 MB has a variant OTA; a sector for vfs would be the very least."""
    assert APP_PAGE + 2 * SMALLEST_APP + MB + SECTOR > 4 * MB
    for table in TABLES:
        if "ota" in table.stem:
            assert max(int(row[3], 0) + int(row[4], 0) for row in rows(table)) > 4 * MB


def test_own_firmware_keeps_the_log_of_stock_firmware():
    assert rows(BOARDS / "CISTERN_ESP32/partitions.csv") == rows(
        BOARDS / "esp32_generic/partitions.csv"
    )


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*/sdkconfig*")), ids=name_of)
def test_settings_are_spelt_as_esp_idf_spells_them(path):
    found = settings(path.read_text())
    assert found
    for name, value in found.items():
        assert name in SETTINGS, f"{name} is not in the list of this test"
        assert re.fullmatch(SETTINGS[name], value), f"{name}={value}"


def upstream(folder):
    """The parts of MicroPython's ports/esp32 that a board builds upon, with their settings."""
    for board in ("ESP32_GENERIC", "ESP32_GENERIC_S3", "ESP32_GENERIC_C3"):
        (folder / "boards" / board).mkdir(parents=True)
        (folder / "boards" / board / "mpconfigboard.cmake").write_text(
            "set(SDKCONFIG_DEFAULTS boards/sdkconfig.base boards/sdkconfig.ble)\n"
        )
    (folder / "boards/ESP32_GENERIC_S3/mpconfigvariant_SPIRAM_OCT.cmake").write_text(
        "list(APPEND SDKCONFIG_DEFAULTS boards/sdkconfig.spiram_oct)\n"
    )
    (folder / "boards/sdkconfig.base").write_text(
        "CONFIG_MBEDTLS_SSL_ALPN=n\nCONFIG_ESPTOOLPY_FLASHSIZE_4MB=y\n"
        'CONFIG_PARTITION_TABLE_CUSTOM_FILENAME="partitions.csv"\n'
    )
    (folder / "boards/sdkconfig.ble").write_text("CONFIG_BT_ENABLED=y\n")
    (folder / "boards/sdkconfig.spiram_oct").write_text("CONFIG_SPIRAM_MODE_OCT=y\n")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """made(board, variant) -> (IDF_TARGET, settings) as MicroPython's CMakeLists.txt has it."""
    cmake = program("cmake", "cmake")
    port = upstream(tmp_path_factory.mktemp("esp32"))

    def make(board, variant):
        out = tmp_path_factory.mktemp("build")
        parts = ["mpconfigboard", *([f"mpconfigvariant_{variant}"] if variant else [])]
        lines = [
            f"set(CMAKE_BINARY_DIR {out})",
            f"set(MICROPY_BOARD_DIR {board})",
            *(f"include(${{MICROPY_BOARD_DIR}}/{part}.cmake)" for part in parts),
            'string(REPLACE ";" "\\n" files "${IDF_TARGET};${SDKCONFIG_DEFAULTS}")',
            f'file(WRITE {out}/read "${{files}}")',
        ]
        (out / "read.cmake").write_text("\n".join(lines))
        subprocess.run(
            [cmake, "-P", str(out / "read.cmake")], cwd=port, check=True, capture_output=True
        )
        target, *files = (out / "read").read_text().split("\n")
        text = "".join((port / file).read_text() for file in files)
        return target, settings(text)

    return make


@pytest.mark.parametrize(
    ("board", "variant"), BUILDS, ids=[f"{b.name}-{v or 'plain'}" for b, v in BUILDS]
)
def test_what_the_build_reads(made, board, variant):
    target, found = made(board, variant)
    assert target == json.loads((board / "board.json").read_text())["mcu"]
    assert found["CONFIG_MBEDTLS_SSL_ALPN"] == "y"
    assert found["CONFIG_FREERTOS_HZ"] == "1000"
    assert "CONFIG_BT_ENABLED" not in found
    assert ("CONFIG_SPIRAM_MODE_OCT" in found) == (variant == "SPIRAM_OCT")
    assert found["CONFIG_PARTITION_TABLE_CUSTOM"] == "y"
    table = board / ("partitions-ota.csv" if variant == "OTA" else "partitions.csv")
    assert found["CONFIG_PARTITION_TABLE_CUSTOM_FILENAME"] == f'"{table}"'
    sizes = [n for n in (4, 8) if found.get(f"CONFIG_ESPTOOLPY_FLASHSIZE_{n}MB") == "y"]
    assert len(sizes) == 1, "one size of flash"
    end = max(int(row[3], 0) + int(row[4], 0) for row in rows(table))
    assert end == sizes[0] * MB, "the table uses the flash to its end"


@pytest.mark.parametrize("board", OWN, ids=lambda p: p.name)
def test_board_json_has_what_micropythons_tools_read(board):
    about = json.loads((board / "board.json").read_text())
    kinds = {
        "deploy": list, "docs": str, "features": list, "images": list, "mcu": str,
        "product": str, "thumbnail": str, "url": str, "vendor": str,
    }
    assert {key: type(about[key]) for key in kinds} == kinds
    assert about["deploy_options"] == {"flash_offset": BOOTLOADER[about["mcu"]]}
    assert all((board / file).exists() for file in about["deploy"])
    assert sorted(about["variants"]) == [v for b, v in BUILDS if b == board and v]


@pytest.mark.parametrize("board", OWN, ids=lambda p: p.name)
def test_mpconfigboard_h(board):
    compiler = shutil.which("cc") or missing("cc (Debian: gcc)")
    done = subprocess.run(
        [compiler, "-E", "-dM", str(board / "mpconfigboard.h")],
        capture_output=True, text=True, check=True,
    )
    defined = dict(
        line.split(" ", 2)[1:] for line in done.stdout.splitlines() if "MICROPY_" in line
    )
    chip = json.loads((board / "board.json").read_text())["mcu"]
    assert defined["MICROPY_HW_MCU_NAME"].strip('"').replace("-", "").lower() == chip
    assert defined["MICROPY_HW_BOARD_NAME"].startswith('"Cistern')
    assert defined["MICROPY_PY_BLUETOOTH"] == "(0)"  # its settings are left out, too
