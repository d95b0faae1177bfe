"""The whole contract of a data store, put together from its chapters."""

from __future__ import annotations

from securemem.testing.backend.changing import Changing
from securemem.testing.backend.keeping import Keeping
from securemem.testing.backend.reading import Reading
from securemem.testing.backend.sharing import Sharing


class BackendContract(Reading, Changing, Keeping, Sharing):
    """Every sentence of `ports.Backend`, as tests; a data store passes them all.

    Subclass it, call the subclass `Test…`, and give the fixture `connect`:

        class TestMine(BackendContract):
            @pytest.fixture
            def connect(self, tmp_path: Path) -> Connect:
                return lambda: MyBackend(tmp_path / "data")

    `connect()` gives an adapter that is not open yet. Called again in one test it gives another one over the same data;
    where the data live in the object and nowhere else, it gives that same object again.
    """
