"""What a container is to its program, as far as a machine without a container engine can have it."""

import os
import shutil
import sys
from pathlib import Path

from tests.support.project import Project, Result

USER = 10001
# All is read-only but the volume, and the user has no rights. `$CLOSED` are folders of root's own that Python lies in:
# that much of them is shown to others, in this namespace only.
_CAGE = """
for place in $SHOWN; do mkdir -p "$VOLUME/.shown$place" && mount --bind "$place" "$VOLUME/.shown$place"; done
for folder in $CLOSED; do mount -t tmpfs -o mode=755 none "$folder"; done
for place in $SHOWN; do mkdir -p "$place" && mount --bind "$VOLUME/.shown$place" "$place"; done
mount --bind "$VOLUME" "$VOLUME"
for place in / "$(stat -c %m "$PWD")"; do mount -o remount,bind,ro "$place"; done
if touch "$PWD/x" 2>/dev/null; then exit 99; fi
exec setpriv --reuid USER --regid USER --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
""".replace("USER", str(USER))


def caged(project: Project, volume: Path, *command: str | Path) -> Result:
    """Run a command in a project's folder as the image's user, with one folder that may be written to. Takes root."""
    for folder in (*volume.parents, project.root):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    for path in (volume, *volume.iterdir()):
        shutil.chown(path, USER, USER)
    shown = {str(Path(place)) for place in (sys.base_prefix, sys.prefix)}
    closed = {str(found) for place in shown if (found := _closed(Path(place)))}
    project.variables |= {
        "VOLUME": str(volume),
        "CLOSED": " ".join(closed),
        "SHOWN": " ".join(place for place in shown if any(place.startswith(folder) for folder in closed)),
    }
    return project.run("unshare", "-m", "sh", "-ec", _CAGE, "sh", *command)


def _closed(place: Path) -> Path | None:
    """The outermost folder above a place that others may not enter."""
    return next((each for each in reversed(place.parents) if not each.stat().st_mode & 0o001), None)
