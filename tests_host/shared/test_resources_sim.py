"""The examples on the simulated board of a PC: every collector that they name gives readings."""

import asyncio
import os
import sys

from cistern import config, resources
from cistern.record import Shape
from cistern.resources import catalog

if sys.implementation.name == "micropython":
    from cistern.port.unix import Port
else:
    from cistern.port.host import Port

ROOT = __file__.rsplit("/", 3)[0]
EXAMPLES = ROOT + "/examples"
FLASH = ROOT + "/build/resources-" + sys.implementation.name + ".bin"
# The slowest is the satellite receiver's first second; then the thermometer, 750 ms.
DEADLINE_US = 5000000


def a_port():
    try:
        os.mkdir(ROOT + "/build")
    except OSError:
        pass
    port = Port(FLASH, 16384, FLASH, "error")
    os.remove(FLASH)
    lines = []
    port.log = lambda level, text: lines.append(text)
    port.health = lambda: {"t": 1.0, "streams": {}}
    return port, lines


def plan_of(name):
    with open(EXAMPLES + "/" + name + ".json") as f:
        return config.plan(config.load(f.read()), catalog)


async def reading(port, source):
    """A reading, tried until there is one."""
    values = [0] * len(source.fields or ())
    start = port.ticks_us()
    while True:
        try:
            got = source.read_into(values) if source.fields else source.read()
            if source.waits:
                got = await got
            return Shape(source.fields).payload(values) if source.fields else got
        except resources.ResourceError:
            if port.ticks_diff(port.ticks_us(), start) > DEADLINE_US:
                raise
        await port.sleep_ms(20)


async def read_all(port, plan):
    made = {}
    for component in sorted(plan.components, key=lambda c: not c.type.endswith(":board")):
        made[component.name] = catalog.build(component, port, made)
    sources = [made[c.component].source(c.method, c.params) for c in plan.collectors]
    return await asyncio.gather(*[reading(port, source) for source in sources])


def test_every_collector_of_the_examples_gives_readings_without_hardware():
    for name, streams in (("greenhouse", 4), ("weather", 8), ("vehicle", 14), ("try-out", 18)):
        port, lines = a_port()
        plan = plan_of(name)
        assert [(p.path, p.message) for p in plan.problems] == [], name
        got = asyncio.run(read_all(port, plan))
        assert len(got) == streams and all(got), (name, got)
        # The same again, from hardware that is there by now.
        assert len(asyncio.run(read_all(port, plan))) == streams
        assert not [line for line in lines if "GPIO" not in line], lines


def test_the_folder_of_models_is_listed():
    port, lines = a_port()
    assert port.model_files() == [] and lines == []
    port.models_folder = EXAMPLES + "/models"
    names = ["bh1750.py", "soil_moisture.py"]
    assert port.model_files() == [EXAMPLES + "/models/" + name for name in names]
    port.models_folder = EXAMPLES + "/nowhere"
    assert port.model_files() == []
    assert len(lines) == 1 and "nowhere, cannot be read" in lines[0]
