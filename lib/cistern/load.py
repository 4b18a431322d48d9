"""Running a configuration: at start, when it changes, and what goes before it when it does not
start. Borrowed by the App.
"""

from cistern.borrow import borrow
from cistern.config import plan as plan_of


def load(app, path, text=None, error=None):
    """Run the configuration of the file `path`, or its `text`; False where there is none.

    With a cloud, to which App.connect_to() comes first, its last one goes before it. What does not
    start is said, and the one that ran before it takes its place; with a cloud, the board then
    waits for another where there is none. error: what ended the one that was tried.
    """
    while True:
        if isinstance(error, MemoryError):
            take(app, {})  # what was made leaves no room to look at another
        trial = borrow("cistern.trial")
        found = trial.after(app, text, error) if error else trial.first(app, path, text)
        trial = None
        if not found:
            return False
        try:
            app.apply(_planned(found))
            borrow("cistern.starts").look(app)
            return True
        except Exception as e:  # whatever it is, the board must be there for a better one
            error = e


def take(app, machine):
    """Run the configuration `machine`, a dict, from now on."""
    app.apply(_planned([machine]))


def _planned(found):
    # In a function of its own, so that the plan is all that is left of the dict.
    return plan_of(found.pop(), borrow("cistern.resources.catalog"))


def apply(app, plan):
    """Run what the plan names; what cannot be made is reported and left out."""
    # One after the other, so that the code of one makes room for the next.
    borrow("cistern.setup").prepare(app, plan)
    borrow("cistern.machine").rebuild(app, plan)
    if app.uploader:
        borrow("cistern.online").tune(app)
