"""The distributions, building without a compiler, and the C extension under the sanitizers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest
from readme_renderer import markdown

from event_count_logger.cli.files import PURPOSES
from tests.conftest import BIN, ROOT, needs_debian
from tests.servers import Server
from tests.shells import copy_project

#: The folder with the packages that this one needs.
DEPENDENCIES = sysconfig.get_path("purelib")

EXTENSION = f"event_count_logger/_native{sysconfig.get_config_var('EXT_SUFFIX')}"


def run(*command: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "ECL_NATIVE"}
    return subprocess.run(
        [*map(str, command)],
        env={**inherited, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
    )


def succeed(*command: object, cwd: Path | None = None, **environment: Any) -> str:
    done = run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(what: Path, directory: Path, option: str = "--target", **environment: Any) -> Path:
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    where = ("--ignore-installed", option, directory)
    succeed(sys.executable, "-m", "pip", "install", *offline, *where, what, **environment)
    return directory


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, and the wheel built from it."""
    needs_compiler()
    directory = tmp_path_factory.mktemp("build")
    project, made = copy_project(directory), directory / "made"
    succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", made, project)
    return made


@pytest.fixture(scope="module")
def repaired_wheel(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with the tags of old systems, as an index wants it."""
    directory = tmp_path_factory.mktemp("repaired")
    (wheel,) = distributions.glob("*.whl")
    succeed(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", directory, wheel, PATH=str(BIN))
    (repaired,) = directory.glob("*.whl")
    return repaired


@pytest.fixture(scope="module")
def installed_wheel(repaired_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repaired wheel, installed where no compiler is."""
    return install(repaired_wheel, tmp_path_factory.mktemp("wheel") / "installed", PATH="/nonexistent")


def needs_compiler() -> None:
    needs_debian("gcc", "gcc")
    needs_debian("python3-dev", "python3-config")


def program(text: str, *arguments: object) -> tuple[object, ...]:
    """Returns a command without `site`, which would find editable installations."""
    return (sys.executable, "-S", "-c", text, *arguments)


def run_with(installed: Path, text: str, *arguments: str) -> str:
    """Run a program with the packages in a directory, and not with the package of this project."""
    return succeed(*program(text, *arguments), cwd=installed, PYTHONPATH=DEPENDENCIES)


def run_ecl(installed: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command `ecl` in the same way."""
    text = "from event_count_logger.cli.ecl import ecl; ecl()"
    return run(*program(text, *arguments), cwd=installed, PYTHONPATH=DEPENDENCIES)


def count_with(installed: Path, server: Server) -> bool:
    """Count with the package in a directory; return whether it uses the C extension."""
    text = (
        "import json, sys\n"
        "import event_count_logger\n"
        "from event_count_logger.counting import implementation\n"
        "groups = {'g': {'events': ['e'], 'intervals': ['24h'], 'sync_interval': 60}}\n"
        "with event_count_logger.EventCountLogger(groups, json.loads(sys.argv[1])) as ecl:\n"
        "    ecl['g'].log('e', 3)\n"
        "    ecl['g'].counter('e').inc()\n"
        "print(json.dumps([event_count_logger.__file__, implementation.NATIVE]))\n"
    )
    file, native = json.loads(run_with(installed, text, json.dumps(server.config)))
    assert Path(file).is_relative_to(installed)
    assert server.counts("g", "24h", "cur") == {"e": 4}
    return bool(native)


def test_installation_without_a_compiler_counts_in_python(tmp_path: Path, server: Server) -> None:
    installed = install(copy_project(tmp_path), tmp_path / "installed", PATH=str(BIN))
    assert not count_with(installed, server)
    config = tmp_path / "ecl.yml"
    config.write_text(json.dumps({"redis": server.config, "groups": {}}))
    why = "the C extension was not built: install a C compiler"
    assert f"{config}: counting: pure Python ({why}" in run_ecl(installed, "check", config).stdout


def test_repaired_wheel_counts_in_c(repaired_wheel: Path, installed_wheel: Path, server: Server) -> None:
    assert re.search(r"-manylinux\w+\.manylinux_2_\d+_\w+\.whl$", repaired_wheel.name)
    assert count_with(installed_wheel, server)


def test_wheel_contains_exactly_the_package(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "event_count_logger").rglob("*")
        if path.suffix in (".py", ".lua", ".typed", ".html", ".css", ".js", ".svg")
    }
    some = ("lua/commit.lua", "py.typed", "web/static/index.html", "web/static/page.js")
    assert {f"event_count_logger/{name}" for name in some} < ours
    (data,) = {name.partition("/")[0] for name in names if ".data/" in name}
    ours |= {f"{data}/data/share/event-count-logger/{name}" for name in shared()}
    ours |= {f"{data}/data/share/man/man1/{path.name}" for path in (ROOT / "docs" / "man").glob("*.1")}
    assert names - {"event_count_logger/_native.c"} == {*ours, EXTENSION}


def shared() -> set[str]:
    """The files for services and monitoring, by their paths in share/event-count-logger."""
    folders = (ROOT / "deploy", ROOT / "munin")
    found = {path: folder for folder in folders for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder.parent)).removeprefix("deploy/") for path, folder in found.items()}


def test_each_shared_file_has_a_purpose() -> None:
    assert shared() <= PURPOSES.keys()


def test_ecl_files_prints_where_the_wheel_was_installed(repaired_wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "share" / "event-count-logger"
    install(repaired_wheel, tmp_path, "--prefix")
    (package,) = tmp_path.rglob("event_count_logger")
    listing = run_ecl(package.parent, "files").stdout.splitlines()
    assert listing[0] == str(folder)
    assert {line.split()[0] for line in listing[1:]} == shared()
    assert all((folder / name).is_file() for name in shared())
    assert run_ecl(package.parent, "files", "munin").stdout == f"{folder / 'munin' / 'ecl_'}\n"


def test_ecl_files_without_its_files_fails(installed_wheel: Path, tmp_path: Path) -> None:
    shutil.copytree(installed_wheel / "event_count_logger", tmp_path / "event_count_logger")
    done = run_ecl(tmp_path, "files")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR: share/event-count-logger is missing in the folders above ")


def test_ecl_files_prints_the_files_of_a_checkout() -> None:
    listing = succeed(BIN / "ecl", "files").splitlines()
    assert listing[0] == str(ROOT)
    listed = {line.split()[0] for line in listing[1:]}
    assert {name.removeprefix("deploy/") for name in listed} == shared()
    assert all((ROOT / name).is_file() for name in listed)


def test_wheel_contains_the_munin_plugin(installed_wheel: Path) -> None:
    plugin = installed_wheel / "share" / "event-count-logger" / "munin" / "ecl_"
    assert succeed(plugin, "autoconf", ecl_command="/not/there").startswith("no (")


def test_man_finds_the_pages_of_the_wheel_in_its_environment(installed_wheel: Path) -> None:
    needs_debian("man-db", "man")
    for program in ("ecl", "ecl-status", "ecl_reader"):
        found = succeed("man", "-w", program, PATH=f"{installed_wheel / 'bin'}:{os.environ['PATH']}")
        assert Path(found.strip()) == installed_wheel / "share" / "man" / "man1" / f"{program}.1"


def test_source_distribution_contains_exactly_the_repository(distributions: Path) -> None:
    (source,) = distributions.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if re.fullmatch(r"PKG-INFO|setup\.cfg|.*\.egg-info/.*", name)}
    assert names - made == in_repository()


def in_repository() -> set[str]:
    """The files in git, or those that will be."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    return set(
        succeed("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    )


def test_long_description_renders_with_absolute_links_only(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers, _, text = archive.read(name).decode().partition("\n\n")
    metadata = HeaderParser().parsestr(headers)
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = markdown.render(text)
    assert page, "the package index would show no text"
    links = re.findall('(?:href|src)="([^"]*)"', page)
    assert {link for link in links if not link.startswith(("https://", "#"))} == set()
    project = "https://github.com/CESNET/EventCountLogger"
    assert f"{project}/blob/v{metadata['Version']}/docs/start.md" in links


def test_extension_leaks_no_memory(installed_wheel: Path) -> None:
    kept = run_with(installed_wheel, (ROOT / "tests" / "programs" / "churn.py").read_text(), "2000")
    assert int(kept) < 100, "memory blocks left after 2000 rounds"


def test_extension_passes_its_tests_under_the_sanitizers() -> None:
    needs_compiler()
    sanitize = (ROOT / "scripts" / "sanitize", "-v", "tests/test_counting.py", "-k", "not pure")
    done = run(*sanitize, PYTHON=sys.executable)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "Sanitizer" not in output
    assert "runtime error" not in output
    assert "[native] PASSED" in output


@pytest.mark.parametrize(
    ("wrong", "report"),
    [
        ("((uint64_t *)self)[sizeof(*self) / 8] = 0;", "AddressSanitizer: heap-buffer-overflow"),
        ("self->words[1] += INT_MAX + (int)at;", "runtime error: signed integer overflow"),
    ],
)
def test_sanitizers_find_a_planted_fault(wrong: str, report: str, tmp_path: Path) -> None:
    needs_compiler()
    project = copy_project(tmp_path)
    source = project / "event_count_logger" / "_native.c"
    right = "self->words = words + at;"
    assert source.read_text().count(right) == 1
    source.write_text(source.read_text().replace(right, f"{right} {wrong}"))
    done = run(project / "scripts" / "sanitize", "-x", "tests/test_counting.py", PYTHON=sys.executable)
    assert done.returncode != 0
    assert report in done.stderr
