"""The whole contract of a keystore, put together from its chapters."""

from __future__ import annotations

from securemem.testing.keystore.keeping import Keeping
from securemem.testing.keystore.lookup import LookingUp
from securemem.testing.keystore.racing import Racing
from securemem.testing.keystore.rotating import Rotating
from securemem.testing.keystore.routing import Routing
from securemem.testing.keystore.shredding import Shredding


class KeystoreContract(LookingUp, Shredding, Rotating, Keeping, Routing, Racing):
    """Every sentence of `keys.keystore.Keystore`, as tests; a keystore passes them all.

    Subclass it, call the subclass `Test…`, and give the fixture `connect`:

        class TestMine(KeystoreContract):
            @pytest.fixture
            def connect(self, tmp_path: Path) -> Connect:
                return lambda: MyKeystore(tmp_path / "keys")

    `connect()` gives an adapter that is not open yet. Called again in one test it gives another one over the same keys.
    """
