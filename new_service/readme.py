"""What the README of the new service takes over from that of its sample."""

import re

from new_service.names import Names
from new_service.sample import Sample

_SECTIONS = ("What to look at", "What it leaves out")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def readme_sections(sample: Sample, names: Names, port: int) -> str:
    """The sections that stay true of a copy on this port, with links to files of the project alone."""
    sections = [section for title in _SECTIONS if (section := _section(sample.readme, title))]
    text = _LINK.sub(lambda match: _unlinked(match[1], match[2], names.package), "\n\n".join(sections))
    ports = "|".join(str(sample.row.port_of(number)) for number in sample.row.numbers)
    return names.renaming.markdown(re.sub(rf"\b({ports})\b", str(port), text))


def _section(readme: str, title: str) -> str:
    found = re.search(rf"^## {title}\n.*?(?=^## |\Z)", readme, re.M | re.DOTALL)
    return found[0].strip() if found else ""


def _unlinked(text: str, target: str, package: str) -> str:
    """The link's text: a file of the sample by its path in the project, all else by its name in the suite."""
    if target.startswith("http"):
        return f"[{text}]({target})"
    if "/" in target or not target.endswith(".py"):
        return (
            f"`{text}` of tor-async-suite"
            if re.fullmatch(r"[\w.]+", text)
            else f"{text} (of tor-async-suite)"
        )
    return f"`{package}/{target}`"
