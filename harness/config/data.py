# SPDX-License-Identifier: Apache-2.0
"""The `data` part of a spec: which training set, and how it is made from what is stored or drawn."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pydantic

from zoo.config import Config

NUMBERS = 2**33
"""Most numbers N x H x W x C that the inputs of a training set may hold: 64 GiB in float64."""

SIZE = 2**18
"""Most numbers H x W x C that one generated input may have: 512 x 512."""

Count = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, pydantic.Field(ge=0, le=2**31 - 1)]
Coordinate = Annotated[float, pydantic.Field(ge=-1e6, le=1e6)]

Split = Annotated[
    Literal["train", "test"],
    pydantic.Field(description="The part to train on; test is the validation part of sets that have no other."),
]


class Balanced(Config):
    """Equally many examples of each class, drawn by a seed."""

    balanced: Annotated[Seed, pydantic.Field(description="The seed that draws the examples of each class.")]


class Planted(Config):
    """Targets that the network gives at parameters drawn by a seed: a global minimum under half_mse and ce."""

    planted: Annotated[Seed, pydantic.Field(description="The seed that draws those parameters.")]


def _kind(key: str, word: str) -> Any:
    """Returns the discriminator of a field that is one word or a mapping with one key."""
    return pydantic.Discriminator(lambda value: key if isinstance(value, dict | Config) else word)


Subset = Annotated[
    Annotated[Literal["first"], pydantic.Tag("first")] | Annotated[Balanced, pydantic.Tag("balanced")],
    _kind("balanced", "first"),
    pydantic.Field(
        description="Which `examples`: the first in the set's own fixed order, or `{balanced: SEED}` for equally many "
        "of each class (where that cannot be, one more of the first classes), in that order."
    ),
]

Targets = Annotated[
    Annotated[Literal["labels"], pydantic.Tag("labels")] | Annotated[Planted, pydantic.Tag("planted")],
    _kind("planted", "labels"),
    pydantic.Field(
        description="What the network is to give: the labels, or `{planted: SEED}` for its own outputs at parameters "
        "drawn by that seed."
    ),
]


class _Chosen(Config):
    """The fields that every set of stored images shares."""

    name: str
    weights: ClassVar[tuple[float, ...]] = ()
    examples: Annotated[
        Count | None, pydantic.Field(description="Train on so many training examples; null for all.")
    ] = None
    split: Split = "train"
    subset: Subset = "first"
    resize: Annotated[
        Annotated[int, pydantic.Field(ge=4, le=512)] | None,
        pydantic.Field(
            description="Side in pixels of the square to which each image is brought, bilinear with antialiasing; "
            "null to leave it."
        ),
    ] = None
    channels: Annotated[
        Literal[3] | None,
        pydantic.Field(
            description="3 repeats a grey image in three equal channels, for networks that were published for colour; "
            "null to leave it."
        ),
    ] = None
    standardise: Annotated[
        bool,
        pydantic.Field(
            description="Whether each channel has its mean taken away and is divided by its standard deviation, both "
            "over all pixels of the chosen examples; else pixels lie in [0, 1]."
        ),
    ] = False
    outputs: Annotated[
        Annotated[int, pydantic.Field(ge=2, le=1000)] | None,
        pydantic.Field(
            description="Number of outputs K of the network, at least that of the classes: what is beyond them is no "
            "image's label; null for as many as there are classes."
        ),
    ] = None
    targets: Targets = "labels"


class Images(_Chosen):
    """Images with labels, read through tensorflow-datasets."""

    name: Annotated[
        Literal["digits", "mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn_cropped", "imagenette"],
        pydantic.Field(description="The training set."),
    ]


class Tfds(_Chosen):
    """Any other image-classification set of tensorflow-datasets."""

    name: Literal["tfds"]
    dataset: Annotated[
        str,
        pydantic.Field(
            min_length=1,
            max_length=100,
            pattern=r"^[a-z0-9_]+(/[a-z0-9_.-]+)?$",
            description="Its name in tensorflow-datasets, and after a slash that of its variant: `stl10`, "
            "`emnist/letters`.",
        ),
    ]


Examples = Annotated[Count, pydantic.Field(description="Number of examples N.")]
Shape = Annotated[
    tuple[Annotated[int, pydantic.Field(ge=1, le=65536)], ...],
    pydantic.Field(
        strict=False,
        min_length=3,
        max_length=3,
        description="Height, width and channels of one input; `[1, 1, D]` for a vector of D numbers.",
    ),
]
Classes = Annotated[int, pydantic.Field(ge=2, le=1000, description="Number of classes K.")]
Draw = Annotated[Seed, pydantic.Field(description="The seed that draws the set; the seeds of the runs do not.")]


class GaussianClasses(Config):
    """Classes of equal size, each a Gaussian of unit variance around its own mean; the means are orthogonal."""

    name: Literal["gaussian_classes"]
    weights: ClassVar[tuple[float, ...]] = ()
    examples: Examples
    shape: Shape
    classes: Classes
    separation: Annotated[
        float,
        pydantic.Field(
            ge=0, le=1e6, description="Norm s of each mean, in standard deviations; two means are s sqrt(2) apart."
        ),
    ]
    seed: Draw = 0
    targets: Targets = "labels"


class LinearTeacher(Config):
    """Regression on A x with given singular values of A, for inputs with exactly X'X / N = I."""

    name: Literal["linear_teacher"]
    weights: ClassVar[tuple[float, ...]] = ()
    targets: ClassVar[Literal["labels"]] = "labels"
    examples: Examples
    shape: Shape
    singular_values: Annotated[
        tuple[Annotated[float, pydantic.Field(ge=0, le=1e6)], ...],
        pydantic.Field(
            strict=False,
            min_length=1,
            max_length=1000,
            description="The singular values of A; as many as there are outputs.",
        ),
    ]
    seed: Draw = 0


class RandomLabels(Config):
    """Standard Gaussian inputs with labels that have nothing to do with them."""

    name: Literal["random_labels"]
    weights: ClassVar[tuple[float, ...]] = ()
    examples: Examples
    shape: Shape
    classes: Classes
    seed: Draw = 0
    targets: Targets = "labels"


class ModularAddition(Config):
    """Sequences of three integers a, b, p, and which number a + b is modulo p; different pairs, drawn by a seed."""

    name: Literal["modular_addition"]
    weights: ClassVar[tuple[float, ...]] = ()
    examples: Examples
    modulus: Annotated[int, pydantic.Field(ge=2, le=1000, description="The modulus p, and number of classes.")]
    seed: Draw = 0
    targets: Targets = "labels"

    @property
    def vocabulary(self) -> int:
        """How many integers there are: the numbers, and p for the sign of equality."""
        return self.modulus + 1


class Parity(Config):
    """Sequences of bits, drawn by a seed, and whether the number of ones is odd."""

    name: Literal["parity"]
    weights: ClassVar[tuple[float, ...]] = ()
    vocabulary: ClassVar[int] = 2
    examples: Examples
    length: Annotated[int, pydantic.Field(ge=1, le=1024, description="Bits of a sequence.")]
    seed: Draw = 0
    targets: Targets = "labels"


class Point(Config):
    """One example of one number with one number as target, for closed-form controls."""

    name: Literal["point"]
    weights: ClassVar[tuple[float, ...]] = ()
    targets: ClassVar[Literal["labels"]] = "labels"
    x: Annotated[Coordinate, pydantic.Field(description="The input.")] = 1.0
    target: Annotated[Coordinate, pydantic.Field(description="The target.")] = 1.0


Numbers = Annotated[tuple[Coordinate, ...], pydantic.Field(strict=False, min_length=1, max_length=1000)]
Weights = Annotated[
    tuple[Annotated[float, pydantic.Field(gt=0, le=1e6)], ...],
    pydantic.Field(strict=False, max_length=1000),
]


class Points(Config):
    """Examples of one number each, with one number as target, for closed-form controls."""

    name: Literal["points"]
    targets: ClassVar[Literal["labels"]] = "labels"
    x: Annotated[Numbers, pydantic.Field(description="The inputs.")]
    values: Annotated[Numbers, pydantic.Field(description="Their targets, as many.")]
    weights: Annotated[
        Weights,
        pydantic.Field(
            description="Their weights in the mean of the loss, and odds with which SGD picks them; all 1 if empty."
        ),
    ] = ()


class PaperPair(Config):
    """The two examples of the paper's figures: 0.9 with target 0.9 and 2.5 with target 2.5."""

    name: Literal["paper_pair"]
    targets: ClassVar[Literal["labels"]] = "labels"
    weights: Annotated[
        tuple[Annotated[float, pydantic.Field(gt=0, le=1e6)], ...],
        pydantic.Field(
            strict=False,
            min_length=2,
            max_length=2,
            description="Weights of the two examples in the mean of the loss, and odds with which SGD picks them.",
        ),
    ] = (1.0, 1.0)


class Holds(Config):
    """What a file of arrays holds."""

    sha256: Annotated[
        str,
        pydantic.Field(
            min_length=64,
            max_length=64,
            pattern="^[0-9a-f]{64}$",
            examples=["the SHA-256 of its arrays"],
            description="Of its arrays, as docs/bundle.md says.",
        ),
    ]
    task: Literal["classification", "regression"]
    examples: Count
    shape: Shape
    outputs: Annotated[int, pydantic.Field(ge=1, le=1000, description="Number of classes or targets K.")]


class File(Config):
    """Arrays of one's own, `x` and `y` in an .npz of numpy."""

    name: Literal["file"]
    weights: ClassVar[tuple[float, ...]] = ()
    path: Annotated[
        str,
        pydantic.Field(
            min_length=1,
            max_length=500,
            description="The .npz, from where gdzoo is called: `x` (N, D) or (N, H, W, C), "
            "`y` classes (N,) or numbers (N, K).",
        ),
    ]
    targets: Targets = "labels"
    holds: Annotated[
        Holds | None, pydantic.Field(description="What it holds; filled in when a spec is read where the file is.")
    ] = None


Generated = GaussianClasses | LinearTeacher | RandomLabels | ModularAddition | Parity | Point | Points | PaperPair

Data = Annotated[Images | Tfds | File | Generated, pydantic.Field(discriminator="name")]
