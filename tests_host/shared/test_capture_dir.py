"""A log in a folder, from one start of a board to the next."""

import os

from cistern.port import esp32_files
from cistern.setup import open_log

D = b"a definition"
TOTAL = 60  # blocks of the filesystem


def remove(folder):
    try:
        for name in os.listdir(folder):
            os.remove(folder + "/" + name)
        os.rmdir(folder)
    except OSError:
        pass


class Filesystem:
    """One of `total` blocks, of which a folder's files take one each."""

    def __init__(self, folder, total):
        self.folder = folder
        self.total = total

    def statvfs(self, path):
        try:
            used = len(os.listdir(self.folder))
        except OSError:  # as littlefs, which asks for no path
            used = 0
        free = max(self.total - used, 0)
        return 4096, 4096, self.total, free, free, 0, 0, 0, 0, 255


class Port:
    flash = None
    room = staticmethod(esp32_files.room)

    def urandom(self, n):
        return bytes(range(1, n + 1))

    def utc_us(self):
        return None

    def log(self, level, text):
        if "was not there and is made" not in text:
            raise AssertionError(text)


class Board:
    """The App as far as open_log() knows it."""

    log = None

    def __init__(self, folder, total=TOTAL):
        self.problems = {}
        self.port = Port()
        real = esp32_files.os
        esp32_files.os = Filesystem(folder, total)
        try:
            open_log(self, folder)
        finally:
            esp32_files.os = real

    def append(self, parcels, size=1200):
        for _ in range(parcels):
            self.log.append(D, bytes(size), 1)

    def unsent(self):
        return sum(self.log.stats().unsent_readings.values())

    def lost(self):
        return sum(self.log.stats().lost.values())


def in_folder(test):
    """A test that gets the path of a folder that is not there yet."""

    def run():
        folder = "/tmp/cistern-test-dir-%d" % id(object())
        remove(folder)
        try:
            test(folder)
        finally:
            remove(folder)

    return run


@in_folder
def _a_restart(folder):
    board = Board(folder)
    count = board.log.count
    assert count == TOTAL // 2
    board.append(75)
    for start in range(4):
        board = Board(folder)
        # What the log itself takes is no reason for it to be smaller.
        assert count - 1 <= board.log.count <= count
        assert board.unsent() + board.lost() == 75 + start
        board.append(1)
    assert not board.lost()


def test_a_restart_leaves_all_that_is_unsent():
    _a_restart()


@in_folder
def _others(folder):
    board = Board(folder)
    board.append(75)
    newest = board.log.next
    board = Board(folder, TOTAL // 2)  # others have filled the filesystem meanwhile
    assert board.unsent() == 75 and board.log.next == newest
    board.append(75)
    assert board.unsent() + board.lost() == 150


def test_a_filesystem_that_got_smaller_hides_nothing_and_no_name_is_given_twice():
    _others()


@in_folder
def _foreign(folder):
    Board(folder).append(3)
    for name in ("20260101.log", "notes.log", "99999.log", "0012.txt", "0.log"):
        with open(folder + "/" + name, "w") as f:
            f.write("not of a log")
    board = Board(folder)
    assert board.unsent() == 3 and board.log.count <= TOTAL


def test_files_of_others_in_the_folder_are_none_of_the_log():
    _foreign()


@in_folder
def _capitals(folder):
    Board(folder).append(75)
    for name in os.listdir(folder):
        if name == "0024.log":
            os.rename(folder + "/" + name, folder + "/0024.LOG")
    assert Board(folder, 4).log.count == 25


def test_a_name_in_capitals_as_fat_may_have_it_counts():
    _capitals()


@in_folder
def _card(folder):
    board = Board(folder, 1 << 23)
    board.append(1)
    assert board.log.count == 1024


def test_a_card_of_32_gb_gets_a_log_that_ram_can_hold():
    _card()
