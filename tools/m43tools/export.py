"""``m43 export``: write what is generated from the tables of the project, or check that it is up to date."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from m43proto.errors import M43Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43proto.catalogue import Catalogue

__all__ = ["FOREIGN", "TARGETS", "export"]

EXIT_STALE = 1

PICTURED = "captures/bell-fakebody__lens-model__power-up/capture.sr"
"""The capture whose decode the README shows, from the root of the repository."""


def _spec_pages(root: Path) -> dict[Path, bytes]:
    from m43tools.render.spec import filled

    pages = sorted((root / "specs").glob("*.md"))
    if not pages:
        raise M43Error(
            f"{root}: no page of the spec (specs/*.md) here; run it in the root of the repository or give --root"
        )
    return {page: filled(page.read_text(encoding="utf-8"), page.name).encode() for page in pages}


def _captures(root: Path) -> dict[Path, bytes]:
    from m43tools.library import capture_table, provenances, rebuilt
    from m43tools.render.spec import filled

    told = provenances(root)
    page = root / "captures" / "README.md"
    tables = {"captures": lambda: capture_table(told)}
    files = {page: filled(page.read_text(encoding="utf-8"), page.name, tables).encode()}
    for folder, provenance in told.items():
        if provenance["capture"]["origin"] == "synthetic":
            files |= rebuilt(folder, provenance)
    return files


def _picture(root: Path) -> dict[Path, bytes]:
    from m43drivers.capture import open_capture
    from m43drivers.lines import lines_by_name
    from m43drivers.observe import observe
    from m43proto.messages import PUBLIC
    from m43tools.render.glyphs import UNICODE
    from m43tools.render.picture import svg_of, text_in
    from m43tools.render.text import TextWriter
    from m43tools.sniffing import LAYERS

    capture = open_capture(root / PICTURED)
    stream = io.StringIO()
    writer = TextWriter(stream, "messages", UNICODE, colour=True, raw=False)
    for event in observe(capture, lines_by_name(capture), PUBLIC):
        if isinstance(event, LAYERS["messages"]):
            writer.write(event)
    writer.finish()
    target = root / "specs" / "pictures" / "sniff.svg"
    fresh = svg_of(stream.getvalue(), f"m43 sniff {PICTURED}")
    held = target.read_text(encoding="utf-8") if target.exists() else ""
    return {target: (held if text_in(held) == text_in(fresh) else fresh).encode()}


def _diagrams(root: Path) -> dict[Path, bytes]:
    from m43tools.render.diagrams import TIMING_PICTURES, same_timing, timing_picture

    files = {}
    for shape, name in TIMING_PICTURES.items():
        target = root / "specs" / "pictures" / name
        fresh = timing_picture(shape)
        held = target.read_text(encoding="utf-8") if target.exists() else ""
        files[target] = (held if same_timing(held, fresh) else fresh).encode()
    return files


def _schema(root: Path) -> dict[Path, bytes]:
    from m43tools.conformance.report.schema import SCHEMA_FILE, schema_text

    return {root / "specs" / "schema" / SCHEMA_FILE: schema_text().encode()}


def _firmware(root: Path) -> dict[Path, bytes]:
    source = root / "drivers" / "m43drivers" / "bridge" / "probe.py"
    return {root / "drivers" / "bridge" / "firmware" / "m43bridge" / source.name: source.read_bytes()}


def _reports(root: Path) -> dict[Path, bytes]:
    from m43tools.conformance.golden import FOLDER, golden_reports

    return {root / FOLDER / name: text.encode() for name, text in golden_reports().items()}


TARGETS: dict[str, Callable[[Path], dict[Path, bytes]]] = {
    "spec": _spec_pages,
    "picture": _picture,
    "diagrams": _diagrams,
    "captures": _captures,
    "schema": _schema,
    "firmware": _firmware,
    "reports": _reports,
}
"""What stands in the repository only: name -> function from its root to the files and what they should hold."""


def _sigrok(catalogue: Catalogue) -> dict[str, bytes]:
    from m43tools.exporting.sigrok import sigrok_files

    return sigrok_files(catalogue)


def _saleae(catalogue: Catalogue) -> dict[str, bytes]:
    from m43tools.exporting.saleae import saleae_files

    return saleae_files(catalogue)


def _wireshark(catalogue: Catalogue) -> dict[str, bytes]:
    from m43tools.exporting.wireshark import wireshark_files

    return wireshark_files(catalogue)


def _c(catalogue: Catalogue) -> dict[str, bytes]:
    from m43tools.exporting.c import c_files

    return c_files(catalogue)


FOREIGN: dict[str, tuple[str, Callable[[Catalogue], dict[str, bytes]]]] = {
    "sigrok": ("tools/sigrok", _sigrok),
    "saleae": ("tools/saleae", _saleae),
    "wireshark": ("tools/wireshark", _wireshark),
    "c": ("tools/c", _c),
}
"""What other programs take, anywhere: name -> (folder in the repository, function from messages to files in it)."""


@click.command(
    short_help="Write what is generated from the message tables.",
    epilog="Exit codes: 0 written, or up to date; 1 with --check: stale; 2 wrong usage or a broken page.",
)
@click.argument("targets", metavar="[TARGET]...", nargs=-1, type=click.Choice([*TARGETS, *FOREIGN]))
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    metavar="DIR",
    help="Root of the repository (default: here).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write sigrok, saleae or c into DIR, with the messages of --catalogue; needs no repository.",
)
@click.option("--check", is_flag=True, help="Write nothing; name what is stale.")
@click.pass_context
def export(ctx: click.Context, targets: tuple[str, ...], root: Path, output: Path | None, *, check: bool) -> None:
    r"""Write what is generated from the message tables; all of it without a TARGET.

    \b
    spec     the tables and state diagrams between '<!-- generated: ... -->' markers in specs/*.md
    picture  the picture of m43 sniff in the README, specs/pictures/sniff.svg
    diagrams the timing diagrams of each shape, specs/pictures/timing-*.svg
    captures the synthetic captures, each by the command in its capture.toml, and the table in captures/README.md
    schema   the JSON Schema of the reports of m43 conform, specs/schema/
    sigrok   protocol decoders for PulseView and sigrok-cli, tools/sigrok/
    saleae   a high-level analyser for Saleae Logic 2, tools/saleae/
    wireshark  a dissector of what m43 sniff --format pcapng writes, tools/wireshark/
    c        a codec and a transaction parser in C99, tools/c/
    firmware the bridge's interpreter of programs, drivers/bridge/firmware/m43bridge/probe.py
    reports  the reports of m43 conform on the simulated lenses, specs/reports/; takes a minute

    \b
    Examples:
      m43 export
      m43 export spec --check
      m43 export c -o firmware/m43
      m43 --catalogue mine.py export sigrok -o ~/.local/share/libsigrokdecode/decoders
    """
    wanted = _in_repository(ctx, targets, root) if output is None else _elsewhere(ctx, targets, output)
    stale = {path: content for path, content in wanted if not path.exists() or not _same(path, content)}
    for path, content in stale.items():
        click.echo(f"{'stale' if check else 'written'}: {path}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    if check and stale:
        ctx.exit(EXIT_STALE)


def _in_repository(ctx: click.Context, targets: tuple[str, ...], root: Path) -> Iterator[tuple[Path, bytes]]:
    from m43proto.messages import PUBLIC

    if ctx.obj:
        raise click.UsageError("the repository holds the public messages; with --catalogue, say where to: -o DIR", ctx)
    for target in targets or (*TARGETS, *FOREIGN):
        if target in TARGETS:
            yield from TARGETS[target](root).items()
        else:
            folder, made = FOREIGN[target]
            yield from ((root / folder / path, content) for path, content in made(PUBLIC).items())


def _elsewhere(ctx: click.Context, targets: tuple[str, ...], output: Path) -> Iterator[tuple[Path, bytes]]:
    from m43tools.catalogues import combined

    bound = [target for target in targets or TARGETS if target in TARGETS]
    if bound:
        raise click.UsageError(f"-o DIR goes with {', '.join(FOREIGN)}; {bound[0]} stands in the repository", ctx)
    catalogue = combined(ctx.obj or ())
    for target in targets:
        folder = output / target if len(targets) > 1 else output
        yield from ((folder / path, content) for path, content in FOREIGN[target][1](catalogue).items())


def _same(path: Path, content: bytes) -> bool:
    held = path.read_bytes()
    if path.suffix in {".sr", ".dsl"}:
        from m43tools.library import same_session

        return same_session(held, content)
    return held == content
