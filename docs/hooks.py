"""What mkdocs does besides: pages made from files of the repository, and no page that asks another host."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "crossband"
PAGES = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
NOT_LOADED = {"alternate", "canonical", "next", "prev"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages whose text lies elsewhere in the repository."""
    made = {page: _root_page(name) for page, name in PAGES.items()}
    made |= {
        f"examples/{path.stem}.md": _notebook(path) for path in sorted((ROOT / "examples").glob("*.ipynb"))
    }
    made |= {"api/index.md": _names_page()}
    made |= {f"api/{folder.name}.md": _package_page(folder) for folder in _packages()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that loads anything from another host."""
    faults = foreign_resources(Path(config.site_dir))
    if faults:
        raise PluginError("pages load from other hosts: " + "; ".join(faults[:10]))


def foreign_resources(site: Path) -> list[str]:
    """Name what the pages and style sheets of a folder load from other hosts; links to click are not loaded."""
    faults = []
    for page in sorted(site.rglob("*.html")):
        parser = _Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        faults += [
            f"{page.relative_to(site)}: {address}" for address in parser.addresses if _is_foreign(address)
        ]
    for sheet in sorted(site.rglob("*.css")):
        found = re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8"))
        faults += [f"{sheet.relative_to(site)}: {address}" for address in found if _is_foreign(address)]
    return faults


def _is_foreign(address: str) -> bool:
    return re.match(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE) is not None


class _Loaded(HTMLParser):
    """Collects the addresses that a browser fetches when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note src, srcset and data of every tag, and href of links that are loaded."""
        given = dict(attrs)
        self.addresses += [given[key] or "" for key in ("src", "data", "poster") if key in given]
        self.addresses += [part.split()[0] for part in (given.get("srcset") or "").split(",") if part.strip()]
        if tag == "link" and not set((given.get("rel") or "").split()) & NOT_LOADED:
            self.addresses.append(given.get("href") or "")


def _root_page(name: str) -> str:
    """A page of the repository's root, its links as the site has them."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for page, source in PAGES.items():
        text = text.replace(f"]({source}", f"]({page}")
    text = re.sub(r"\]\(examples/(\w+)\.ipynb\)", r"](examples/\1.md)", text)
    return text.replace("](docs/", "](").replace('src="docs/', 'src="')


def _notebook(path: Path) -> str:
    """A notebook as a page: its text and its code."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return (
        "\n\n".join(parts) + f"\n\n*The notebook: `examples/{path.name}`; `make examples` runs all of them.*\n"
    )


def _packages() -> list[Path]:
    return [path.parent for path in sorted(PACKAGE.glob("*/__init__.py")) if path.parent.name != "cli"]


def _names_page() -> str:
    """The package itself, and the modules that lie directly in it."""
    lines = ["# API reference", "", "What `import crossband` gives, by the module that holds it.", ""]
    public = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    for module, name in re.findall(r"^from \.([\w.]+) import (\w+) as", public, re.MULTILINE):
        target = f"crossband.{module}.{name}"
        lines.append(f'- <autoref identifier="{target}" optional>`crossband.{name}`</autoref>')
    modules = [path.stem for path in sorted(PACKAGE.glob("*.py")) if not path.stem.startswith("_")]
    return "\n".join([*lines, "", *(f"::: crossband.{module}\n" for module in modules)])


def _package_page(folder: Path) -> str:
    """A package and every public module in it."""
    lines = [f"# crossband.{folder.name}", "", _first_paragraph(folder / "__init__.py"), ""]
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] != "__init__" and not any(part.startswith("_") for part in parts):
            lines.append(f"::: {'.'.join(parts)}\n")
    return "\n".join(lines)


def _first_paragraph(path: Path) -> str:
    import ast

    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
