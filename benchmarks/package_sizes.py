"""What `sam build` made, in bytes: every layer, and every function with its layers, beside Lambda's limit.

make build
"""

import io
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local.template import Template, load_template

ARCHITECTURES = ("arm64", "x86_64")
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, a function with its layers. Another limit, of
# 50 MB zipped, is of uploads in the request itself; `sam deploy` uploads to S3.
MAX_UNZIPPED_BYTES = 262_144_000

# Bytes unzipped and zipped, by logical id.
Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Build:
    """What `sam build` made.

    Attributes:
        folder: Its build folder.
        template: The template in it.
    """

    folder: Path
    template: Template

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What lies in a build folder."""
        return cls(folder, load_template(folder / "template.yaml"))

    def layers(self) -> list[str]:
        """Logical ids of all layers."""
        return self._of_type("AWS::Serverless::LayerVersion")

    def functions(self) -> list[str]:
        """Logical ids of all functions."""
        return self._of_type("AWS::Serverless::Function")

    def layers_of(self, function: str, architecture: str) -> list[str]:
        """Logical ids of the layers that a function has on a processor."""
        of_all = self.template["Globals"]["Function"]["Layers"]
        own = self.template["Resources"][function]["Properties"].get("Layers", [])
        return [_chosen(layer, architecture) for layer in [*of_all, *own]]

    def folder_of(self, logical_id: str) -> Path:
        """Where a function or a layer lies."""
        return self.folder / logical_id

    def _of_type(self, resource_type: str) -> list[str]:
        resources = self.template["Resources"].items()
        return [logical_id for logical_id, resource in resources if resource["Type"] == resource_type]


def _chosen(layer: dict[str, object], architecture: str) -> str:
    """The logical id that `!Ref X` or `!If [IsArm64, !Ref X, !Ref Y]` names."""
    match layer:
        case {"Ref": str(logical_id)}:
            return logical_id
        case {"Fn::If": ["IsArm64", {"Ref": str(arm64)}, {"Ref": str(x86_64)}]}:
            return arm64 if architecture == "arm64" else x86_64
    raise ValueError(f"Layers holds {layer}, which is neither a layer nor a choice by IsArm64.")


def files(folder: Path) -> Iterator[Path]:
    """Every file in a folder."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def unzipped_bytes(folder: Path) -> int:
    """Bytes of all files, as Lambda counts them."""
    return sum(path.stat().st_size for path in files(folder))


def zipped_bytes(folder: Path) -> int:
    """Bytes of the archive that is uploaded."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files(folder):
            archive.write(path, path.relative_to(folder))
    return buffer.tell()


def main() -> None:
    """Print the tables; exit code 1 when a function is over the limit."""
    build = Build.read(Path(sys.argv[1]))
    sizes = {name: _sized(build.folder_of(name)) for name in [*build.layers(), *build.functions()]}
    whole = {name: [_sum(sizes, build, name, each) for each in ARCHITECTURES] for name in build.functions()}
    _print_row("A layer, MB", "unzipped", "zipped")
    for name in build.layers():
        _print_row(name, *_megabytes([sizes[name]]))
    print()
    _print_row(
        "A function with its layers, MB",
        *(f"{each} {size}".rstrip() for each in ARCHITECTURES for size in ("", "zipped")),
    )
    for name, each in whole.items():
        _print_row(name, *_megabytes(each))
    largest_bytes = max(unzipped for each in whole.values() for unzipped, _ in each)
    print(f"\nLargest: {largest_bytes / 1e6:.1f} MB of the {MAX_UNZIPPED_BYTES / 1e6:.1f} that Lambda takes unzipped.")
    sys.exit(largest_bytes > MAX_UNZIPPED_BYTES)


def _sized(folder: Path) -> tuple[int, int]:
    """Bytes unzipped and zipped."""
    return unzipped_bytes(folder), zipped_bytes(folder)


def _sum(sizes: Sizes, build: Build, function: str, architecture: str) -> tuple[int, int]:
    parts = [sizes[part] for part in (function, *build.layers_of(function, architecture))]
    return sum(unzipped for unzipped, _ in parts), sum(zipped for _, zipped in parts)


def _megabytes(sizes: Iterable[tuple[int, int]]) -> list[str]:
    return [f"{size / 1e6:.1f}" for pair in sizes for size in pair]


def _print_row(name: str, *columns: str) -> None:
    print(f"{name:<32}" + "".join(f"{column:>16}" for column in columns))


if __name__ == "__main__":
    main()
