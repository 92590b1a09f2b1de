# SPDX-License-Identifier: Apache-2.0
"""Code of one's own: a network that no list of layers describes, as a function in a Python module.

    model: {family: code, build: mypackage.mynet:build, options: {width: 8}}

`build(options, inputs, outputs)` gets the options, the shape of one example and the number of outputs K, and returns
`(init, apply)`: `init(key) -> params`, a nested dict of float arrays, and `apply(params, x) -> (N, K)`; or a Linen
module; or a function from `nnx.Rngs` to an NNX module. The SHA-256 of its source is a field of the configuration, so
that other source is another configuration. Only `model` imports anything: reading a configuration runs no code.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import pathlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from zoo import config

if TYPE_CHECKING:
    from zoo.model import Model

NAMED = "INGREDIENTS"
"""The name in a module's source of what its network is made of: a list of names, written out."""

MARK = "__gdzoo_source__"
"""Under this name an imported module says of which file it is, and of which source."""

MOST_BYTES = 10_000_000
"""Most bytes of source that are hashed."""


class Unsuitable(ValueError):
    """The code is not there, is not what it was, or gives no network: one sentence that says what to do."""


class Config(config.Config):
    """A network that code of one's own builds."""

    family: Literal["code"]
    build: Annotated[
        str,
        pydantic.Field(
            min_length=3,
            max_length=200,
            pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
            examples=["mypackage.mynet:build"],
            description="Module and function: `build(options, inputs, outputs)` gives `(init, apply)`, or a flax "
            "module (docs/own-network.md).",
        ),
    ]
    options: Annotated[
        dict[str, pydantic.JsonValue],
        pydantic.Field(default_factory=dict, max_length=100, description="What it is told, whatever that is."),
    ]
    ingredients: Annotated[
        Annotated[
            tuple[Annotated[str, pydantic.Field(min_length=1, max_length=40)], ...],
            pydantic.Field(strict=False, min_length=1, max_length=100),
        ]
        | None,
        pydantic.Field(
            description="What the network is made of, for the theorem; null for what the module's own `INGREDIENTS` "
            'says, if it has them, else "not known".'
        ),
    ] = None
    sha256: Annotated[
        Annotated[
            str,
            pydantic.Field(
                min_length=64, max_length=64, pattern="^[0-9a-f]{64}$", examples=["the SHA-256 of its source"]
            ),
        ]
        | None,
        pydantic.Field(description="Of its source; filled in when a spec is read where the source is."),
    ] = None

    def __hash__(self) -> int:
        """Returns a hash of all fields."""
        return hash(self.model_dump_json())


def written(part: Any) -> Any:
    """Returns the `model` part of a spec in its long form: `family: package.module:build` is short for code."""
    if not isinstance(part, dict) or not isinstance(part.get("family"), str) or ":" not in part["family"]:
        return part
    return {**part, "family": "code", "build": part["family"]}


class Source:
    """The source of a module, found and read, not run.

    Attributes:
        file: The module's file.
        sha256: Of it and, in a package, of all modules beside it, with their names.
        ingredients: What its INGREDIENTS say, or None.
    """

    def __init__(self, build: str) -> None:
        """Finds the source of `module:function`, from the current folder first, then where Python looks.

        Raises:
            Unsuitable: If it is not there, is too large, or its INGREDIENTS are no list of names written out.
        """
        module = build.partition(":")[0]
        self.file = _located(module)
        beside = self.file.parent.glob("*.py") if (self.file.parent / "__init__.py").is_file() else [self.file]
        digest, total = hashlib.sha256(), 0
        for file in sorted(beside):
            content = file.read_bytes()
            total += len(content)
            digest.update(f"{file.name} {len(content)}\n".encode() + content)
        if total > MOST_BYTES:
            raise Unsuitable(f"the source of {module} has {total:,} bytes; allowed: at most {MOST_BYTES:,}")
        self.sha256 = digest.hexdigest()
        self.ingredients = _ingredients(self.file)


def model(config: Config, inputs: tuple[int, ...], outputs: int) -> Model:
    """Imports the code of a configuration and builds its network; this runs that code.

    Raises:
        Unsuitable: If the source is not that of the configuration, or builds no network.
    """
    from zoo import model as models
    from zoo import modules

    name, _, function = config.build.partition(":")
    source = Source(config.build)
    if config.sha256 is not None and source.sha256 != config.sha256:
        raise Unsuitable(
            f"the source of {name} has changed: its SHA-256 is {source.sha256[:12]}…, and that of the configuration "
            f"{config.sha256[:12]}…; go back to that source, or check and run the spec again, which names a new cell"
        )
    built = _function(name, function, source)(dict(config.options), inputs, outputs)
    if isinstance(built, tuple) and len(built) == 2 and all(map(callable, built)):
        init, apply = built
        return models.Model(lambda key: _plain(init(key)), apply)
    linen = modules.of_linen(built, inputs)
    if linen is not None:
        return models.Model(lambda key: _plain(linen[0](key)), linen[1])
    if callable(built):
        return models.from_module(built)
    raise Unsuitable(
        f"{config.build} returns a {type(built).__name__}; return (init, apply), a Linen module, or a function from "
        "nnx.Rngs to an NNX module"
    )


def _located(module: str) -> pathlib.Path:
    parts = module.split(".")
    for folder in (pathlib.Path.cwd(), *map(pathlib.Path, filter(None, sys.path))):
        place = folder.joinpath(*parts)
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                return file.resolve()
    raise Unsuitable(
        f"there is no module {module} in the current folder or where Python looks; call gdzoo from the folder that "
        "holds it, or install it"
    )


def _ingredients(file: pathlib.Path) -> tuple[str, ...] | None:
    """Returns the INGREDIENTS that stand at the top of a file, read as text."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise Unsuitable(f"{file.name} is no Python: {error}") from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [NAMED]:
            try:
                found = ast.literal_eval(node.value)
            except ValueError:
                found = None
            if not isinstance(found, list | tuple) or not found or not all(isinstance(name, str) for name in found):
                raise Unsuitable(f"{NAMED} of {file.name} is no list of names written out")
            return tuple(found)
    return None


def _function(module: str, name: str, source: Source) -> Any:
    """Imports a function, from the source that was hashed: anew where the process has another one."""
    here = str(pathlib.Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    imported: Any = sys.modules.get(module)
    if getattr(imported, MARK, None) != (str(source.file), source.sha256):
        package = module.rpartition(".")[0]
        for other in list(sys.modules):
            if other == module or (package and other.startswith(f"{package}.")):
                del sys.modules[other]
        importlib.invalidate_caches()
        try:
            imported = importlib.import_module(module)
        except Exception as error:
            raise Unsuitable(f"importing {module} fails: {type(error).__name__}: {error}") from error
        setattr(imported, MARK, (str(source.file), source.sha256))
    found = inspect.getsourcefile(imported)
    if found is None or pathlib.Path(found).resolve() != source.file:
        raise Unsuitable(
            f"Python imports {module} from {found}, and not from the {source.file.name} that was read; rename one"
        )
    function = getattr(imported, name, None)
    if not callable(function):
        raise Unsuitable(f"{module} has no function {name}")
    return function


def _plain(tree: Any) -> Any:
    """Returns parameters as nested dicts of float32 arrays."""
    import jax
    import jax.numpy as jnp

    if not isinstance(tree, dict) or not all(map(_is_plain, _nodes(tree))):
        raise Unsuitable("init returns something else than a nested dict of arrays with names for keys")
    leaves = jax.tree.leaves(tree)
    if not leaves or not all(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) for leaf in leaves):
        raise Unsuitable("init returns parameters that are no floats; let apply close over what is not trained")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), tree)


def _is_plain(node: Any) -> bool:
    return all(isinstance(key, str) for key in node) if isinstance(node, dict) else not isinstance(node, list | tuple)


def _nodes(tree: Any) -> list[Any]:
    if not isinstance(tree, dict):
        return [tree]
    return [tree, *(inner for node in tree.values() for inner in _nodes(node))]
